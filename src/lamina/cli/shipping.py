"""Layers of the store as compressed blobs, and manifests over them: what every kind of export needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from lamina.cli.annotations import Annotations
from lamina.cli.layersource import fetch, known_layers
from lamina.cli.wire import KnownLayer, Workshop
from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest
from lamina.engine.job import chains_of
from lamina.image.compress import LayerCompressor
from lamina.image.decompress import Decompressed
from lamina.image.ocilayout import NamedImage
from lamina.oci import mediatypes
from lamina.oci.config import ImageConfig, decode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, decode_manifest, encode_manifest
from lamina.oci.mediatypes import layer_compression, layer_media_type
from lamina.ports import Limits

#: ISA-L's highest level; those above it are zlib's and mean "as small as you can".
_MAX_GZIP = 3
_CHUNK = 1 << 20


class Form(Struct, frozen=True):
    """How images are written. Layers that are compressed already stay as they are unless `force` is set; `level` None
    is the compression's own default. With `original`, an image that came with a manifest keeps it. For the layers of
    `exact` no blob of another compression will do, so that the manifest does not tell what was written before."""

    compression: str = "gzip"
    level: int | None = None
    force: bool = False
    docker: bool = False
    annotations: Annotations = Annotations()
    original: bool = False
    exact: frozenset[DiffID] = frozenset()


class Shipper:
    """Makes what an archive or a registry needs of images; a `BlobSource` over the store. `ready` hears of each layer
    as soon as its blob can be read, or fetched with `fetch`, while those above it are still being compressed."""

    def __init__(self, shop: Workshop, form: Form, ready: Callable[[Descriptor], None] = lambda _: None) -> None:
        self._shop = shop
        self._form = form
        self._ready = ready
        self._absent: dict[Digest, KnownLayer] = {}
        self._known: dict[DiffID, KnownLayer] | None = None

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A blob's bytes, fetched first if it was left where it is. Raises BuildFailure `store-…`, `registry-…`."""
        self.fetch(digest)
        return self._shop.store.blobs.open(digest)

    def is_here(self, digest: Digest) -> bool:
        """Whether a blob is in the store; if not, a registry has it."""
        return digest not in self._absent or self._shop.store.blobs.has(digest)

    def fetch(self, digest: Digest, progress: Callable[[int], None] = lambda _: None) -> None:
        """Put a blob into the store that was left where it is."""
        if not self.is_here(digest):
            fetch(self._shop, self._absent[digest], progress)

    def named(self, images: Sequence[Digest], names: tuple[str, ...]) -> NamedImage:
        """An image's manifest, put into the store with all layer blobs that were missing there; with several images,
        one index over theirs. Raises BuildFailure `usage-bad-arguments` for annotations that have no place."""
        if len(images) > 1:
            return NamedImage(self._index(images), names)
        if self._form.annotations.index:
            raise BuildFailure("usage-bad-arguments", "--annotation index:…: an image of one platform has no index")
        return NamedImage(self._manifest(images[0]), names)

    def unmade(self, images: Sequence[Digest]) -> bool:
        """Whether some layer is still to be compressed."""
        pairs = (pair for image in images for pair in _stack(self._config(image)))
        return any(self._found(chain, diff_id) is None for chain, diff_id in pairs)

    def _manifest(self, image_id: Digest) -> Descriptor:
        kept = self._kept(image_id)
        if kept is not None:
            return kept
        store = self._shop.store
        raw = store.blobs.read(image_id)
        config = decode_config(raw)
        layers = tuple(self.layer(chain, diff_id) for chain, diff_id in _stack(config))
        docker = self._form.docker
        kind = mediatypes.DOCKER_MANIFEST if docker else mediatypes.OCI_MANIFEST
        config_type = mediatypes.DOCKER_CONFIG if docker else mediatypes.OCI_CONFIG
        config_descriptor = Descriptor(config_type, image_id, len(raw))
        encoded = encode_manifest(Manifest(2, kind, config_descriptor, layers, self._form.annotations.manifest))
        return Descriptor(kind, store.blobs.put(encoded), len(encoded))

    def _kept(self, image_id: Digest) -> Descriptor | None:
        """The manifest that an image came with, if that is what is to be sent."""
        image = self._shop.store.images.resolve(image_id)
        if not self._form.original or image.manifest is None or not self._shop.store.blobs.has(image.manifest):
            return None
        raw = self._shop.store.blobs.read(image.manifest)
        manifest = decode_manifest(raw)
        if not isinstance(manifest, Manifest) or manifest.config.digest != image_id:
            return None
        for diff_id, layer in zip(self._config(image_id).rootfs.diff_ids, manifest.layers, strict=True):
            if not self._shop.store.blobs.has(layer.digest):
                known = self._elsewhere(diff_id)
                if known is None or known.digest != layer.digest:
                    return None
            self._ready(layer)
        return Descriptor(manifest.media_type, image.manifest, len(raw))

    def _index(self, images: Sequence[Digest]) -> Descriptor:
        entries = tuple(replace(self._manifest(one), platform=self._config(one).platform) for one in images)
        kind = mediatypes.DOCKER_INDEX if self._form.docker else mediatypes.OCI_INDEX
        encoded = encode_manifest(Index(2, entries, kind, self._form.annotations.index))
        return Descriptor(kind, self._shop.store.blobs.put(encoded), len(encoded))

    def _config(self, image_id: Digest) -> ImageConfig:
        return decode_config(self._shop.store.blobs.read(image_id))

    # --- layers ----------------------------------------------------------------------------------------------------
    def layer(self, chain: ChainID, diff_id: DiffID) -> Descriptor:
        """The blob of a layer: one that exists is used as it is, whatever its compression; else it is made once, also
        where several threads or processes want it. Raises BuildFailure `image-layers-gone`, `store-…`, `registry-…`."""
        found = self._found(chain, diff_id)
        if found is None:
            with self._shop.store.locks.hold(f"compress-{self._key}-{diff_id.partition(':')[2]}"):
                found = self._found(chain, diff_id)
                if found is None:
                    found = self._made(chain, diff_id)
                    self._shop.store.layer_blobs.add(diff_id, self._key, found)
        media_type = layer_media_type(layer_compression(found.media_type), docker=self._form.docker)
        layer = Descriptor(media_type, found.digest, found.size)
        self._ready(layer)
        return layer

    @property
    def _key(self) -> str:
        """Under what a blob is remembered: its compression, and the level where one was asked for."""
        form = self._form
        return form.compression if form.level is None else f"{form.compression}-{form.level}"

    def _found(self, chain: ChainID, diff_id: DiffID) -> Descriptor | None:
        """A blob that will do: in the store, or where an image came from."""
        known = self._shop.store.layer_blobs
        exact = known.find(diff_id, self._key)
        if exact is not None or self._form.force or diff_id in self._form.exact:
            return exact
        found = known.find(diff_id, self._form.compression) or next(iter(known.all(diff_id).values()), None)
        if found is None and self._shop.store.snapshots.get(chain) is None:
            found = self._elsewhere(diff_id)
        return found

    def _elsewhere(self, diff_id: DiffID) -> Descriptor | None:
        known = self._shop.elsewhere.get(diff_id)
        if known is None:
            if self._known is None:
                self._known = known_layers(self._shop)
            known = self._known.get(diff_id)
        if known is None:
            return None
        self._absent[known.blob.digest] = known
        return known.blob

    def _made(self, chain: ChainID, diff_id: DiffID) -> Descriptor:
        """A new blob: from another blob of the layer, for what others packed is not what lamina would pack; else from
        its files."""
        blobs = self._shop.store.layer_blobs.all(diff_id)
        source = next(iter(blobs.values()), None)
        if source is None and self._shop.store.snapshots.get(chain) is None:
            source = self._elsewhere(diff_id)
        if source is None:
            return self._compressed(diff_id, lambda write: self._pack(chain, diff_id, write))
        return self._compressed(diff_id, lambda write: self._unpack(source, write))

    def _pack(self, chain: ChainID, diff_id: DiffID, write: Callable[[bytes], object]) -> None:
        from lamina.image.tarwrite import write_layer

        snapshot = self._shop.store.snapshots.get(chain)
        if snapshot is None:
            raise BuildFailure(
                "image-layers-gone", f"layer {diff_id} is not in the store", hint="build the image again, with --pull"
            )
        write_layer(snapshot.layer, write, xattr_namespace=self._shop.rung.xattr)

    def _unpack(self, source: Descriptor, write: Callable[[bytes], object]) -> None:
        with self.open_blob(source.digest) as stream:
            tar = Decompressed(stream, layer_compression(source.media_type), Limits().max_layer_bytes)
            while piece := tar.read(_CHUNK):
                write(piece)

    def _compressed(self, diff_id: DiffID, fill: Callable[[Callable[[bytes], object]], None]) -> Descriptor:
        form = self._form
        level = form.level if form.level is None or form.compression != "gzip" else min(form.level, _MAX_GZIP)
        with (
            self._shop.store.blobs.writer() as writer,
            LayerCompressor(form.compression, writer.write, level) as compressor,
        ):
            fill(compressor.write)
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


def _stack(config: ImageConfig) -> list[tuple[ChainID, DiffID]]:
    return list(zip(chains_of(config), config.rootfs.diff_ids, strict=True))
