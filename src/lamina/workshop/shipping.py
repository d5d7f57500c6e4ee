"""Layers of the store as compressed blobs, and manifests over them: what every kind of export needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest
from lamina.engine.job import chains_of, is_of_content
from lamina.engine.pull import KnownLayer
from lamina.image.compress import LayerCompressor
from lamina.image.decompress import Decompressed
from lamina.image.ocilayout import NamedImage
from lamina.oci import mediatypes
from lamina.oci.config import ImageConfig, decode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, decode_manifest, encode_manifest
from lamina.oci.mediatypes import layer_compression, layer_media_type
from lamina.ports.layers import Limits
from lamina.workshop.annotations import Annotations
from lamina.workshop.wire import Workshop

if TYPE_CHECKING:
    from lamina.oci.attestation import Provenance

_CHUNK = 1 << 20


class Form(Struct, frozen=True):
    """How images are written. Layers that are compressed already stay as they are unless `force` is set; `level` None
    is the compression's own default. With `original`, an image that came with a manifest keeps it. For the layers of
    `exact` no blob of another compression will do, so that the manifest does not tell what was written before.
    `provenance`: that of images, which lies beside them in an index."""

    compression: str = "gzip"
    level: int | None = None
    force: bool = False
    docker: bool = False
    annotations: Annotations = Annotations()
    original: bool = False
    exact: frozenset[DiffID] = frozenset()
    provenance: Mapping[Digest, Provenance] = {}


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

    def fetch(self, digest: Digest) -> None:
        """Put a blob into the store that was left where it is."""
        if not self.is_here(digest):
            known = self._absent[digest]
            self._shop.images.download(known.blob, known.reference, lambda *_: None)

    def named(self, images: Sequence[Digest], names: tuple[str, ...]) -> NamedImage:
        """An image's manifest, put into the store with all layer blobs that were missing there; with several images,
        one index over theirs. Raises BuildFailure `usage-bad-arguments` for annotations that have no place."""
        if len(images) > 1 or self._form.provenance:
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
                if known is None or known.blob.digest != layer.digest:
                    return None
            self._ready(layer)
        return Descriptor(manifest.media_type, image.manifest, len(raw))

    def _index(self, images: Sequence[Digest]) -> Descriptor:
        entries = {one: replace(self._manifest(one), platform=self._config(one).platform) for one in images}
        said = [
            self._attested(entries[one], self._form.provenance[one]) for one in images if one in self._form.provenance
        ]
        kind = mediatypes.DOCKER_INDEX if self._form.docker else mediatypes.OCI_INDEX
        encoded = encode_manifest(Index(2, (*entries.values(), *said), kind, self._form.annotations.index))
        return Descriptor(kind, self._shop.store.blobs.put(encoded), len(encoded))

    def _attested(self, image: Descriptor, said: Provenance) -> Descriptor:
        """The attestation manifest of an image, with all that it refers to put into the store."""
        from lamina.oci import attestation as oci  # here, because few builds attest anything

        blobs, docker = self._shop.store.blobs, self._form.docker
        raw = oci.statement(image, said)
        statement = oci.statement_descriptor(raw)
        blobs.put(raw)
        self._ready(statement)
        config = oci.attestation_config([statement])
        config_type = mediatypes.DOCKER_CONFIG if docker else mediatypes.OCI_CONFIG
        kind = mediatypes.DOCKER_MANIFEST if docker else mediatypes.OCI_MANIFEST
        pointed = Descriptor(config_type, blobs.put(config), len(config))
        encoded = encode_manifest(oci.attestation_manifest(kind, pointed, [statement]))
        return oci.attestation_entry(Descriptor(kind, blobs.put(encoded), len(encoded)), image)

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

    def packed(self, diff_id: DiffID, blob: Descriptor) -> str:
        """How a layer's blob was compressed, as `KnownLayer` has it."""
        return self._key if self._shop.store.layer_blobs.find(diff_id, self._key) == blob else ""

    @property
    def _key(self) -> str:
        """Under what a blob is remembered: its compression, and the level where one was asked for."""
        form = self._form
        return form.compression if form.level is None else f"{form.compression}-{form.level}"

    def _found(self, chain: ChainID, diff_id: DiffID) -> Descriptor | None:
        """A blob that will do: in the store, or where an image came from."""
        # Of a layer whose files are here no blob will do that nobody has compared with them.
        unpacked = self._shop.store.snapshots.get(chain) is not None
        there = self._shop.store.layer_blobs.all(diff_id, checked=unpacked)
        if self._key in there:
            return there[self._key]
        exactly = self._form.force or diff_id in self._form.exact
        found = there.get(self._form.compression) or next(iter(there.values()), None)
        if unpacked or (found is not None and not exactly):
            return None if exactly else found
        known = self._elsewhere(diff_id)
        return known.blob if known is not None and (not exactly or known.packed == self._key) else None

    def _elsewhere(self, diff_id: DiffID) -> KnownLayer | None:
        known = self._shop.elsewhere.get(diff_id)
        if known is None:
            if self._known is None:
                self._known = self._shop.known_layers()
            known = self._known.get(diff_id)
        if known is not None:
            self._absent[known.blob.digest] = known
        return known

    def _made(self, chain: ChainID, diff_id: DiffID) -> Descriptor:
        """A new blob: from another blob of the layer, for what others packed is not what lamina would pack; else from
        its files."""
        store = self._shop.store
        unpacked = store.snapshots.get(chain) is not None
        source = store.layer_blobs.any(diff_id)
        if source is None and not unpacked:
            known = self._elsewhere(diff_id)
            source = known.blob if known is not None else None
        if source is not None:
            blob = source
            try:
                return self._compressed(diff_id, lambda write: self._unpack(blob, write))
            except BuildFailure as failure:
                wrong = is_of_content(failure) or failure.diagnostic.reference == "store-layer-damaged"
                if not (unpacked and wrong):
                    raise
                store.layer_blobs.forget(diff_id, blob.digest)  # the files are here
        return self._compressed(diff_id, lambda write: self._pack(chain, diff_id, write))

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
        with (
            self._shop.store.blobs.writer() as writer,
            LayerCompressor(form.compression, writer.write, form.level) as compressor,
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
