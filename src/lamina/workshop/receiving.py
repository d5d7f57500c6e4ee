"""Images that come in: from archives and from root file system tars, into blobs, layers and the list of images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.image.archivefiles import open_image_files
from lamina.image.compress import LayerCompressor
from lamina.image.decompress import Decompressed, detect
from lamina.image.dockerarchive import DockerArchive, is_docker_archive
from lamina.image.ocilayout import Layout, NamedImage, is_layout, read_document, read_manifest
from lamina.oci.config import History, ImageConfig, RootFS, RuntimeConfig, decode_config, encode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, encode_manifest, select_platform
from lamina.oci.mediatypes import OCI_CONFIG, OCI_MANIFEST, layer_compression
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference, parse_reference
from lamina.ports.images import BaseImage, ImageEntry
from lamina.ports.layers import Limits
from lamina.workshop.wire import Workshop

_CHUNK = 1 << 20


def import_root(
    shop: Workshop,
    stream: BinaryIO,
    names: Sequence[Reference],
    runtime: RuntimeConfig,
    platform: Platform,
    message: str,
) -> Digest:
    """Make an image of one layer from a root file system's tar (compressed or not); returns its ID.

    The same tar and settings give the same image: nothing of the time of the import is in it. Raises BuildFailure
    `image-…`.
    """
    _ = shop.rung  # entered before there are threads that compress
    start = stream.read(_CHUNK)
    if not start:
        # A tar of nothing has an end, too: this is a download that failed before the pipe.
        raise BuildFailure("image-bad-tar", "the tar is empty", hint="a tar of no files has 1,024 bytes at least")
    limit = Limits().max_layer_bytes
    tar = Decompressed(Rejoined(start, stream), detect(start), limit)
    with shop.store.blobs.writer() as writer, LayerCompressor("gzip", writer.write) as compressor:
        while piece := tar.read(_CHUNK):
            compressor.write(piece)
        layer = compressor.finish()
        writer.commit()
    config = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        rootfs=RootFS("layers", (layer.diff_id,)),
        config=runtime,
        history=(History(created_by=message, comment="lamina import"),),
    )
    return _keep(shop, encode_config(config), (layer.descriptor,), names)


def load_archive(shop: Workshop, path: Path, platform: Platform, shown: str) -> list[tuple[Digest, tuple[str, ...]]]:
    """Take in all images of an archive or layout that are for `platform`; returns their IDs and names. `shown` is what
    messages call the archive.

    Raises BuildFailure `image-…`: what is damaged is not kept.
    """
    _ = shop.rung  # entered before there are threads that compress
    try:
        files = open_image_files(path)
        if is_layout(files):
            return _load_layout(shop, Layout(files), platform)
        if is_docker_archive(files):
            return _load_docker(shop, DockerArchive(files))
    except BuildFailure as failure:
        raise failure.about(shown) from None
    raise BuildFailure(
        "image-bad-archive",
        f"{shown} is neither an archive of docker save nor an OCI layout",
        hint="for the tar of a root file system there is `lamina import`",
    )


def _load_layout(shop: Workshop, layout: Layout, platform: Platform) -> list[tuple[Digest, tuple[str, ...]]]:
    loaded = []
    for image in layout.images():
        names = tuple(parse_reference(name) for name in image.names if ":" in name or "/" in name)
        base = take_from_layout(shop, layout, image, platform, names)
        loaded.append((digest_of(base.config_raw), tuple(map(str, names))))
    return loaded


def take_from_layout(
    shop: Workshop, layout: Layout, image: NamedImage, platform: Platform, names: Sequence[Reference]
) -> BaseImage:
    """Take in one image of a layout, or the one for `platform` if it is an index, and give it these names.

    Raises BuildFailure `image-…`.
    """
    root = image.root
    document = read_manifest(root, layout)
    if isinstance(document, Index):
        chosen = select_platform(document, platform)
        if chosen is None:
            raise BuildFailure("image-no-platform", f"{image.names or root.digest} has no image for {platform}")
        root, document = chosen, read_manifest(chosen, layout)
    if not isinstance(document, Manifest):
        raise BuildFailure("image-nested-index", f"{root.digest} is an index inside an index")
    for descriptor in (document.config, *document.layers):
        if not shop.store.blobs.has(descriptor.digest):
            _copy(shop, layout.open_blob(descriptor.digest), descriptor)
    config = shop.store.blobs.read(document.config.digest)
    _keep(shop, config, document.layers, names, read_document(root, layout))
    return BaseImage(str(names[0]) if names else root.digest, root.digest, config, document.layers)


def _load_docker(shop: Workshop, archive: DockerArchive) -> list[tuple[Digest, tuple[str, ...]]]:
    loaded = []
    for image in archive.images():
        layers = tuple(_recompressed(shop, *archive.open_layer(path)) for path in image.layers)
        names = tuple(parse_reference(name) for name in image.names)
        loaded.append((_keep(shop, image.config_raw, layers, names), tuple(map(str, names))))
    return loaded


def _keep(
    shop: Workshop,
    config_raw: bytes,
    layers: tuple[Descriptor, ...],
    names: Sequence[Reference],
    manifest_raw: bytes | None = None,
) -> Digest:
    """Commit an image whose blobs are in the store: its layers are unpacked, and so verified, before it has a name."""
    store = shop.store
    image_id = store.blobs.put(config_raw)
    if manifest_raw is None:
        manifest = Manifest(2, OCI_MANIFEST, Descriptor(OCI_CONFIG, image_id, len(config_raw)), layers)
        manifest_raw = encode_manifest(manifest)
    digest = store.blobs.put(manifest_raw)
    shown = str(names[0]) if names else image_id
    # Noted before they are unpacked, which then confirms them: what lamina did not make does not give back its tar.
    with suppress(ValueError):  # what is wrong with an image is said when it is unpacked
        for diff_id, layer in zip(decode_config(config_raw).rootfs.diff_ids, layers, strict=False):
            store.layer_blobs.add(diff_id, layer_compression(layer.media_type), layer, checked=False)
    shop.images.ensure(BaseImage(shown, digest, config_raw, layers), lambda *_: None)
    shop.catalog.add(ImageEntry(image_id, digest, layers), names, time.time())
    return image_id


def _copy(shop: Workshop, source: BinaryIO, descriptor: Descriptor) -> None:
    with source, shop.store.blobs.writer(descriptor.digest, descriptor.size) as writer:
        while piece := source.read(_CHUNK):
            writer.write(piece)
        writer.commit()


def _recompressed(shop: Workshop, source: BinaryIO, compression: str) -> Descriptor:
    """A layer of a docker archive as a blob: mostly it is an uncompressed tar there."""
    tar = Decompressed(source, compression, Limits().max_layer_bytes)
    with source, shop.store.blobs.writer() as writer, LayerCompressor("gzip", writer.write) as compressor:
        while piece := tar.read(_CHUNK):
            compressor.write(piece)
        made = compressor.finish()
        writer.commit()
    return made.descriptor


class Rejoined:
    """A stream whose first bytes were read already."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start = start
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if not self._start:
            return self._rest.read(size)
        taken, self._start = (self._start, b"") if size < 0 else (self._start[:size], self._start[size:])
        return taken
