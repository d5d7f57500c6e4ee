"""Layers that the store knows of but does not have: a build on a base that was only resolved needs none of its files,
until the image is sent somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.cli.wire import KnownLayer, Workshop
from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest
from lamina.engine.job import chains_of
from lamina.oci.config import decode_config
from lamina.oci.reference import parse_reference
from lamina.ports import BaseImage

_HINT = "build the image again, or pull its base"


def known_layers(shop: Workshop) -> dict[DiffID, KnownLayer]:
    """The blobs that the images of the store came with, and those of the shared cache, though they may not be here.
    Reads all images."""
    return {**dict(_described(shop)), **shop.elsewhere}


def fetch(shop: Workshop, known: KnownLayer, progress: Callable[[int], None] = lambda _: None) -> None:
    """Put a layer's blob into the store; `progress` hears the bytes so far. Raises BuildFailure `registry-…`."""
    blob, done = known.blob, 0
    if shop.store.blobs.has(blob.digest):
        return
    with (
        shop.registry.blob(known.reference, blob) as chunks,
        shop.store.blobs.writer(blob.digest, blob.size) as writer,
    ):
        for chunk in chunks:
            done += writer.write(chunk)
            progress(done)
        writer.commit()


def layers_of(shop: Workshop, image: Digest) -> tuple[Path, ...]:
    """The layer directories of an image of the store, topmost first, fetched if they never were.

    Raises BuildFailure `store-…`, `image-…`, `registry-…`.
    """
    entry = shop.catalog.entry(shop.store.images.resolve(image))
    raw = shop.store.blobs.read(image)
    if entry is None:
        raise BuildFailure("store-blob-missing", f"the manifest of image {image} is gone", hint="pull it again")
    _ = shop.rung  # entered before there are threads that fetch
    if not entry.layers:
        _bring(shop, raw, image)
    names = shop.store.images.resolve(image).names
    reference = parse_reference(names[0]) if names else None
    base = BaseImage(image, entry.manifest or image, raw, entry.layers, reference)
    return shop.store.snapshots.stack(shop.images.ensure(base, lambda *_: None))


def _bring(shop: Workshop, config_raw: bytes, name: str) -> None:
    """Have all layers of an image that was built here in the store: those of its base may never have been needed.

    Raises BuildFailure `image-layers-gone`, `registry-…`.
    """
    config, snapshots = decode_config(config_raw), shop.store.snapshots
    known: dict[DiffID, KnownLayer] | None = None
    parent: ChainID | None = None
    for chain, diff_id in zip(chains_of(config), config.rootfs.diff_ids, strict=True):
        if snapshots.get(chain) is None:
            known = known_layers(shop) if known is None else known
            if diff_id not in known:
                raise BuildFailure("image-layers-gone", f"layer {diff_id} of {name} is not in the store", hint=_HINT)
            fetch(shop, known[diff_id])
            shop.images.unpack(known[diff_id].blob, parent, diff_id, name)
        parent = chain


def _described(shop: Workshop) -> Iterator[tuple[DiffID, KnownLayer]]:
    for image in shop.store.images.list():
        if image.manifest is None or not image.names or not shop.store.blobs.has(image.id):
            continue
        try:
            entry, config = shop.catalog.entry(image), decode_config(shop.store.blobs.read(image.id))
        except (BuildFailure, ValueError):
            continue  # a damaged image describes nothing
        reference = parse_reference(image.names[0])
        for diff_id, blob in zip(config.rootfs.diff_ids, entry.layers if entry else (), strict=False):
            yield diff_id, KnownLayer(blob, reference)
