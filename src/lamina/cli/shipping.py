"""Layers of the store as compressed blobs, and manifests over them: what every kind of export needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from msgspec.structs import replace

from lamina.cli.annotations import Annotations
from lamina.cli.wire import Workshop
from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest
from lamina.engine.job import chains_of
from lamina.image.compress import LayerCompressor
from lamina.image.ocilayout import NamedImage
from lamina.image.tarwrite import write_layer
from lamina.oci import mediatypes
from lamina.oci.config import decode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, encode_manifest
from lamina.oci.mediatypes import layer_compression, layer_media_type


class Shipper:
    """Makes what an archive or a registry needs of images; a `BlobSource` over the store."""

    def __init__(
        self,
        shop: Workshop,
        compression: str = "gzip",
        level: int | None = None,
        *,
        docker: bool = False,
        annotations: Annotations | None = None,
    ) -> None:
        self._shop = shop
        self._compression = compression
        self._level = level
        self._docker = docker
        self._annotations = annotations or Annotations()

    def open_blob(self, digest: Digest) -> BinaryIO:
        return self._shop.store.blobs.open(digest)

    def named(self, images: Sequence[Digest], names: tuple[str, ...]) -> NamedImage:
        """An image's manifest, put into the store with all layer blobs that were missing there; with several images,
        one index over theirs. Raises BuildFailure `usage-bad-arguments` for annotations that have no place."""
        if len(images) > 1:
            return NamedImage(self._index(images), names)
        if self._annotations.index:
            raise BuildFailure("usage-bad-arguments", "--annotation index:…: an image of one platform has no index")
        return NamedImage(self._manifest(images[0]), names)

    def _manifest(self, image_id: Digest) -> Descriptor:
        store = self._shop.store
        raw = store.blobs.read(image_id)
        config = decode_config(raw)
        layers = tuple(
            self._layer(chain, diff_id)
            for chain, diff_id in zip(chains_of(config), config.rootfs.diff_ids, strict=True)
        )
        kind = mediatypes.DOCKER_MANIFEST if self._docker else mediatypes.OCI_MANIFEST
        config_type = mediatypes.DOCKER_CONFIG if self._docker else mediatypes.OCI_CONFIG
        config_descriptor = Descriptor(config_type, image_id, len(raw))
        encoded = encode_manifest(Manifest(2, kind, config_descriptor, layers, self._annotations.manifest))
        return Descriptor(kind, store.blobs.put(encoded), len(encoded))

    def _index(self, images: Sequence[Digest]) -> Descriptor:
        entries = []
        for image_id in images:
            config = decode_config(self._shop.store.blobs.read(image_id))
            entries.append(replace(self._manifest(image_id), platform=config.platform))
        kind = mediatypes.DOCKER_INDEX if self._docker else mediatypes.OCI_INDEX
        encoded = encode_manifest(Index(2, tuple(entries), kind, self._annotations.index))
        return Descriptor(kind, self._shop.store.blobs.put(encoded), len(encoded))

    def _layer(self, chain: ChainID, diff_id: DiffID) -> Descriptor:
        """The blob of a layer: one that exists is used as it is, whatever its compression; else it is made once."""
        known = self._shop.store.layer_blobs
        found = known.find(diff_id, self._compression) or next(iter(known.all(diff_id).values()), None)
        if found is None:
            found = self._compress(chain, diff_id)
            known.add(diff_id, self._compression, found)
        media_type = layer_media_type(layer_compression(found.media_type), docker=self._docker)
        return Descriptor(media_type, found.digest, found.size)

    def _compress(self, chain: ChainID, diff_id: DiffID) -> Descriptor:
        snapshot = self._shop.store.snapshots.get(chain)
        if snapshot is None:
            raise BuildFailure(
                "image-layers-gone", f"layer {diff_id} is not in the store", hint="build the image again"
            )
        namespace = self._shop.rung.xattr
        with (
            self._shop.store.blobs.writer() as writer,
            LayerCompressor(self._compression, writer.write, self._level) as compressor,
        ):
            write_layer(snapshot.layer, compressor.write, xattr_namespace=namespace)
            made = compressor.finish()
            if made.diff_id != diff_id:
                raise BuildFailure(
                    "store-layer-damaged",
                    f"layer {diff_id} in the store is not what it was when it was made",
                    cause=f"its files now give {made.diff_id}",
                    hint="`lamina cache verify` finds damage; build the image again with --no-cache",
                )
            writer.commit()
        return made.descriptor
