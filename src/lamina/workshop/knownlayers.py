"""Layers that a registry has, as far as the images of the store tell: a build on a base that was only resolved needs
none of its files, until its image is run or sent somewhere."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID
from lamina.engine.pull import KnownLayer
from lamina.oci.config import decode_config
from lamina.oci.reference import parse_reference
from lamina.store.catalog import StoreCatalog
from lamina.store.store import Store


def known_layers(store: Store, catalog: StoreCatalog) -> dict[DiffID, KnownLayer]:
    """The blobs that the images of the store came with, though they may not be here. Reads all images."""
    return dict(_described(store, catalog))


def _described(store: Store, catalog: StoreCatalog) -> Iterator[tuple[DiffID, KnownLayer]]:
    for image in store.images.list():
        name = image.origin or next(iter(image.names), None)
        if image.manifest is None or name is None or not store.blobs.has(image.id):
            continue
        try:
            entry, config = catalog.entry(image), decode_config(store.blobs.read(image.id))
        except (BuildFailure, ValueError):
            continue  # a damaged image describes nothing
        for diff_id, blob in zip(config.rootfs.diff_ids, entry.layers if entry else (), strict=False):
            yield diff_id, KnownLayer(blob, parse_reference(name))
