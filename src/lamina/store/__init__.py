"""The store: blobs, layers and the cache index in one directory (DESIGN: "The store"; docs/adr/0003-durability.md).

`lamina.store.store.Store.open` is the way in; everything else hangs off the object that it returns.
"""
