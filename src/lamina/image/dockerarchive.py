"""Archives for `docker load`, written and read.

What is written is an OCI layout with a `manifest.json` beside it that names files of the layout, as `docker save` does
from version 25 on and BuildKit always has; older Docker reads that too. Read are both this form and the older one
(`ID.json`, `ID/layer.tar`, links between equal layers). Rule: docker image-spec v1.2, "Combined Image JSON".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import msgspec
from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.image.archivefiles import ImageFiles
from lamina.image.archivesinks import FileSink
from lamina.image.decompress import detect
from lamina.image.ocilayout import BlobSource, NamedImage, blob_path, read_bounded, read_manifest, write_layout
from lamina.oci.config import ImageConfig, decode_config
from lamina.oci.manifest import Manifest
from lamina.oci.reference import parse_reference


class ArchivedImage(Struct, frozen=True):
    """An image found in an archive. `layers` are the files of its layers, lowest first, one for each diff ID of the
    configuration; open them with `DockerArchive.open_layer`."""

    config_raw: bytes
    config: ImageConfig
    layers: tuple[str, ...]
    names: tuple[str, ...]


class _Item(Struct, rename="pascal", omit_defaults=False):
    config: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


def write_docker_archive(sink: FileSink, images: Sequence[NamedImage], blobs: BlobSource) -> None:
    """Write images of one platform each; names are written as Docker's users know them.

    Raises BuildFailure `image-bad-archive` for an index, which the format cannot hold, and as `write_layout`.
    """
    items = []
    for image in images:
        manifest = read_manifest(image.root, blobs)
        if not isinstance(manifest, Manifest):
            raise BuildFailure(
                "image-bad-archive",
                "an archive for docker load holds one platform, and this image has several",
                hint="choose one with --platform, or write type=oci",
            )
        items.append(
            _Item(
                config=blob_path(manifest.config.digest),
                repo_tags=[parse_reference(name).familiar() for name in image.names] or None,
                layers=[blob_path(layer.digest) for layer in manifest.layers],
            )
        )
    write_layout(sink, images, blobs)
    table = msgspec.json.encode(items)
    sink.add("manifest.json", len(table), [table])


class DockerArchive:
    """An archive to read. Raises BuildFailure `image-bad-archive` if `files` is none."""

    def __init__(self, files: ImageFiles) -> None:
        self._files = files
        try:
            raw = read_bounded(files.open("manifest.json"), "manifest.json")
            self._items = msgspec.json.decode(raw, type=list[_Item])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BuildFailure("image-bad-archive", "cannot read manifest.json", cause=str(error)) from error

    def images(self) -> tuple[ArchivedImage, ...]:
        """All images. Raises BuildFailure `image-bad-archive` for one whose parts do not fit together."""
        return tuple(self._image(item) for item in self._items)

    def open_layer(self, path: str) -> tuple[BinaryIO, str]:
        """A layer's bytes and how they are compressed, told from their start. Nothing is verified yet: unpack it and
        compare with the diff ID."""
        with self._files.open(path) as start:
            compression = detect(start.read(4))
        return self._files.open(path), compression

    def _image(self, item: _Item) -> ArchivedImage:
        raw = read_bounded(self._files.open(item.config), item.config)
        try:
            config = decode_config(raw)
        except ValueError as error:
            raise BuildFailure("image-bad-archive", f"cannot read {item.config}", cause=str(error)) from error
        layers = tuple(item.layers or ())
        if len(layers) != len(config.rootfs.diff_ids):
            raise BuildFailure(
                "image-bad-archive",
                f"an image of the archive has {len(layers)} layers, but its configuration {item.config} lists "
                f"{len(config.rootfs.diff_ids)}",
            )
        return ArchivedImage(raw, config, layers, tuple(item.repo_tags or ()))


def is_docker_archive(files: ImageFiles) -> bool:
    return files.has("manifest.json")
