"""Running isolated processes on this machine: overlay mounts, user namespaces, bubblewrap and OCI runtimes.

`namespace.enter` is called once, before any thread exists; `select.choose` then gives the `ports.Runner`.
"""
