"""Images from the store or a registry: names resolved to digests, layers fetched side by side, and unpacked in order
when somebody needs their files.

A layer is in the store as a directory, or as a blob that nobody has needed the files of yet (docs/adr/0018).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest, chain_id, digest_of
from lamina.engine.job import chains_of, is_of_content
from lamina.oci.config import decode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, select_platform
from lamina.oci.mediatypes import layer_compression
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference
from lamina.ports.images import BaseImage, Catalog, ImageEntry, LayerUnpacker, PackedLayers, Registry
from lamina.ports.storing import BlobStore, Locks, Snapshot, Snapshotter

if TYPE_CHECKING:
    from concurrent.futures import Future

_DOWNLOADS = 3
#: Bytes of a configuration, which is held in memory; real ones have some ten thousand.
_MAX_CONFIG = 8 << 20
_CHUNK = 1 << 20

Progress = Callable[[str, int, int | None], None]


class KnownLayer(Struct, frozen=True):
    """A layer's blob, and the name under which a registry has it. `packed` says how lamina compressed it (`gzip`,
    `zstd-9`, …), and is empty where that is not known."""

    blob: Descriptor
    reference: Reference
    packed: str = ""


class _Source(Struct, frozen=True):
    """One layer of an image that is not unpacked: its blob, and from where to fetch it if it is not in the store."""

    parent: ChainID | None
    diff_id: DiffID
    blob: Descriptor
    reference: Reference | None


class Images(Struct, frozen=True):
    """Implements `ports.ImageSource` over the store's catalog and a registry. `registry` and `unpacker` are called only
    when something must be fetched or unpacked, `elsewhere` (layers that registries have) when an image does not tell
    where its own are. `made` says whether a cached step made a layer."""

    catalog: Catalog
    blobs: BlobStore
    packed: PackedLayers
    snapshots: Snapshotter
    locks: Locks
    registry: Callable[[], Registry]
    unpacker: Callable[[], LayerUnpacker]
    elsewhere: Callable[[], Mapping[DiffID, KnownLayer]]
    made: Callable[[ChainID], bool]

    def resolve(self, reference: Reference, platform: Platform, *, fresh: bool) -> BaseImage:
        """See `ports.ImageSource`. Raises BuildFailure `registry-…`, `image-no-platform`."""
        entry = None if fresh else self.catalog.find(reference, platform)
        if entry is None:
            image = self.look(reference, platform)
            self.keep(image, reference)
            return image
        raw = self._read(entry.image_id)
        origin = entry.origin or reference
        return BaseImage(str(reference), entry.manifest or entry.image_id, raw, entry.layers, origin)

    def look(self, reference: Reference, platform: Platform) -> BaseImage:
        """The image that a registry has under a name now. The store has nothing under that name for it until `keep`.

        Raises BuildFailure `registry-…`, `image-…`.
        """
        registry = self.registry()
        found, raw = registry.manifest(reference, reference.digest or registry.resolve(reference).digest)
        if isinstance(found, Index):
            choice = select_platform(found, platform)
            if choice is None:
                offered = sorted({str(entry.platform) for entry in found.manifests if entry.platform})
                raise BuildFailure(
                    "image-no-platform",
                    f"{reference} has no image for {platform}",
                    hint=f"it has: {', '.join(offered) or 'none that names a platform'}",
                )
            found, raw = registry.manifest(reference, choice.digest)
        if not isinstance(found, Manifest):
            raise BuildFailure("image-nested-index", f"{reference} names an index inside an index")
        config_raw = self._small(registry, reference, found.config)
        _check(reference, found, config_raw)
        self.blobs.put(config_raw)
        return BaseImage(str(reference), self.blobs.put(raw), config_raw, found.layers, reference)

    def keep(self, image: BaseImage, name: Reference) -> None:
        """Give an image that came from a registry its name."""
        entry = ImageEntry(digest_of(image.config_raw), image.digest, image.layers, image.reference)
        self.catalog.add(entry, (name,), time.time())

    def fetch(self, image: BaseImage, progress: Progress) -> None:
        """See `ports.ImageSource`. Raises BuildFailure `registry-…`, `image-layers-gone`, `store-…`."""
        with self._coming(self._missing(image), progress) as coming:
            for _, download in coming:
                download()

    def ensure(self, image: BaseImage, progress: Progress) -> ChainID | None:
        """See `ports.ImageSource`. Raises BuildFailure `registry-…`, `image-…`, `store-…`."""
        chains = chains_of(decode_config(image.config_raw))
        with self._coming(self._missing(image), progress) as coming:
            for source, download in coming:
                download()
                try:
                    self._unpack(source, image.name, made=self.made(chain_id(source.parent, source.diff_id)))
                except BuildFailure as failure:
                    self._once_more(image, source, failure, progress)
        return chains[-1] if chains else None

    def layer(self, parent: ChainID | None, diff_id: DiffID, name: str) -> Snapshot | None:
        """See `ports.ImageSource`. Raises BuildFailure `image-…`, `store-…`."""
        found = self.snapshots.adopt(parent, diff_id)
        if found is not None:
            return found
        blob = self.packed.any(diff_id)
        return self._unpack(_Source(parent, diff_id, blob, None), name, made=True) if blob is not None else None

    def download(self, blob: Descriptor, reference: Reference, progress: Progress) -> None:
        """Have a layer's blob in the store. Raises BuildFailure `registry-…`, `store-…`."""
        with self.locks.hold(f"fetch-{blob.digest.partition(':')[2]}"):
            if self.blobs.has(blob.digest):
                return
            done = 0
            with (
                self.registry().blob(reference, blob) as chunks,
                self.blobs.writer(blob.digest, blob.size, verified=True) as writer,
            ):
                for chunk in chunks:
                    done += writer.write(chunk)
                    progress(blob.digest, done, blob.size)
                writer.commit()

    # --- metadata ----------------------------------------------------------------------------------------------------
    def _small(self, registry: Registry, reference: Reference, wanted: Descriptor) -> bytes:
        if self.blobs.has(wanted.digest):
            return self._read(wanted.digest)
        if wanted.size > _MAX_CONFIG:
            raise BuildFailure("image-too-large", f"the configuration of {reference} has {wanted.size} bytes")
        with registry.blob(reference, wanted) as chunks:
            return b"".join(chunks)

    def _read(self, digest: Digest) -> bytes:
        with self.blobs.open(digest) as stream:
            return stream.read()

    # --- layers ------------------------------------------------------------------------------------------------------
    def _missing(self, image: BaseImage) -> list[_Source]:
        """The layers of an image that are not unpacked, lowest first. Raises BuildFailure `image-layers-gone`."""
        diff_ids = decode_config(image.config_raw).rootfs.diff_ids
        own = image.layers if len(image.layers) == len(diff_ids) else (None,) * len(diff_ids)
        known: Mapping[DiffID, KnownLayer] | None = None
        found: list[_Source] = []
        parent: ChainID | None = None
        for diff_id, layer in zip(diff_ids, own, strict=True):
            below, parent = parent, chain_id(parent, diff_id)
            if self.snapshots.get(parent) is not None:
                continue
            here = layer if layer is not None and self.blobs.has(layer.digest) else self.packed.any(diff_id)
            if here is not None:
                found.append(_Source(below, diff_id, here, None))
                continue
            if layer is not None and image.reference is not None:
                found.append(_Source(below, diff_id, layer, image.reference))
                continue
            known = self.elsewhere() if known is None else known
            if diff_id not in known:
                raise BuildFailure(
                    "image-layers-gone",
                    f"the layers of {image.name} are not in the store",
                    cause=f"nobody is known to have {diff_id}",
                    hint="pull, import or build the image again",
                )
            found.append(_Source(below, diff_id, known[diff_id].blob, known[diff_id].reference))
        return found

    @contextmanager
    def _coming(
        self, sources: list[_Source], progress: Progress
    ) -> Iterator[list[tuple[_Source, Callable[[], object]]]]:
        """Layers, each with what waits until its blob is here: they are fetched side by side for the length of the
        block."""
        away = {source.blob.digest: source for source in sources if source.reference is not None}
        with ExitStack() as stack:
            waiting: dict[Digest, Future[None]] = {}
            if away:
                from concurrent.futures import ThreadPoolExecutor

                pool = stack.enter_context(ThreadPoolExecutor(_DOWNLOADS, "fetch"))
                stack.callback(pool.shutdown, wait=True, cancel_futures=True)
                for digest, source in away.items():
                    assert source.reference is not None
                    waiting[digest] = pool.submit(self.download, source.blob, source.reference, progress)
            none = nullcontext().__enter__
            yield [(one, waiting[one.blob.digest].result if one.reference else none) for one in sources]

    def _unpack(self, source: _Source, name: str, *, made: bool) -> Snapshot:
        """Unpack a blob of the store above its parent, unless that was done. Only a layer that lamina `made` is looked
        at whether it gives back its diff ID. Raises BuildFailure `image-…`, `store-…`."""
        chain, blob = chain_id(source.parent, source.diff_id), source.blob
        with self.locks.hold(f"unpack-{chain.partition(':')[2]}"):
            there = self.snapshots.get(chain)
            if there is not None:
                return there
            unpacker = self.unpacker()
            try:
                with self.blobs.open(blob.digest) as stream, self.snapshots.begin(source.parent) as work:
                    actual = unpacker.unpack(stream, layer_compression(blob.media_type), work)
                    if actual != source.diff_id:
                        raise BuildFailure(
                            "image-wrong-diff-id",
                            f"a layer of {name} is not what its configuration says",
                            cause=f"{blob.digest} unpacks to {actual}, not to {source.diff_id}",
                        )
                    built = made and unpacker.gives_back(work, actual)
                    snapshot = self.snapshots.commit(work, source.parent, actual, None, built=built)
            except BuildFailure as failure:
                if is_of_content(failure):
                    self._blame(source, name, failure)
                raise
        self.packed.confirm(source.diff_id, blob.digest)
        return snapshot

    def _blame(self, source: _Source, name: str, failure: BuildFailure) -> None:
        """Forget a blob that cannot be unpacked to what it should be. Raises BuildFailure `store-blob-damaged` if its
        bytes are not those that came."""
        self.packed.forget(source.diff_id, source.blob.digest)
        if self.blobs.has(source.blob.digest):
            found = hashlib.sha256()
            with self.blobs.open(source.blob.digest) as stream:
                while piece := stream.read(_CHUNK):
                    found.update(piece)
            if source.blob.digest != f"sha256:{found.hexdigest()}":
                self.blobs.delete(source.blob.digest)
                raise BuildFailure(
                    "store-blob-damaged",
                    f"a layer of {name} was damaged in the store",
                    cause=f"{source.blob.digest} now has the digest sha256:{found.hexdigest()}",
                    hint="it was deleted: pull or build the image again",
                ) from failure

    def _once_more(self, image: BaseImage, source: _Source, failure: BuildFailure, progress: Progress) -> None:
        """Unpack a layer whose blob was damaged here from another blob, or fetch it again. Raises `failure` if there is
        none."""
        if failure.diagnostic.reference != "store-blob-damaged":
            raise failure
        try:
            again = next(one for one in self._missing(image) if one.parent == source.parent)
            if again.reference is not None:
                self.download(again.blob, again.reference, progress)
        except BuildFailure:
            raise failure from None
        self._unpack(again, image.name, made=self.made(chain_id(again.parent, again.diff_id)))


def _check(reference: Reference, manifest: Manifest, config_raw: bytes) -> None:
    """Refuse an image whose parts do not fit together before anything of it is kept."""
    try:
        config = decode_config(config_raw)
        for layer in manifest.layers:
            layer_compression(layer.media_type)
    except ValueError as error:
        raise BuildFailure(
            "image-bad-config", f"{reference} is not an image that lamina can use", cause=str(error)
        ) from None
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise BuildFailure(
            "image-bad-config",
            f"{reference} is damaged: {len(manifest.layers)} layers but {len(config.rootfs.diff_ids)} diff IDs",
        )
