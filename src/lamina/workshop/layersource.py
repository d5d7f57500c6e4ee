"""The files of an image of the store, whose layers may not have been unpacked or fetched yet."""

from __future__ import annotations

from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest
from lamina.oci.reference import parse_reference
from lamina.ports.images import BaseImage
from lamina.workshop.wire import Workshop


def layers_of(shop: Workshop, image: Digest) -> tuple[Path, ...]:
    """The layer directories of an image of the store, topmost first, fetched and unpacked if they never were.

    Raises BuildFailure `store-…`, `image-…`, `registry-…`.
    """
    found = shop.store.images.resolve(image)
    entry = shop.catalog.entry(found)
    raw = shop.store.blobs.read(image)
    if entry is None:
        raise BuildFailure("store-blob-missing", f"the manifest of image {image} is gone", hint="pull it again")
    _ = shop.rung  # entered before there are threads that fetch
    name = found.names[0] if found.names else None
    origin = entry.origin or (parse_reference(name) if name is not None else None)
    base = BaseImage(name or image, entry.manifest or image, raw, entry.layers, origin)
    return shop.store.snapshots.stack(shop.images.ensure(base, lambda *_: None))


def layer_size(shop: Workshop, chain: ChainID, diff_id: DiffID) -> int:
    """The bytes of a layer's files; of its blob if it was never unpacked; 0 if the store has neither."""
    snapshot = shop.store.snapshots.get(chain)
    if snapshot is not None:
        return snapshot.size
    blob = shop.store.layer_blobs.any(diff_id)
    return blob.size if blob is not None else 0
