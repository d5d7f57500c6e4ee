"""Images from the store or a registry: names resolved to digests, layers fetched side by side and unpacked in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest, chain_id
from lamina.engine.job import chains_of
from lamina.oci.config import ImageConfig, decode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, select_platform
from lamina.oci.mediatypes import layer_compression
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference
from lamina.ports import BaseImage, BlobStore, Catalog, ImageEntry, LayerUnpacker, Locks, Registry, Snapshotter

_DOWNLOADS = 3
#: Bytes of a configuration, which is held in memory; real ones have some ten thousand.
_MAX_CONFIG = 8 << 20

Progress = Callable[[str, int, int | None], None]


class Images(Struct, frozen=True):
    """Implements `ports.ImageSource` over the store's catalog and a registry. `registry` and `unpacker` are called only
    when something must be fetched."""

    catalog: Catalog
    blobs: BlobStore
    snapshots: Snapshotter
    locks: Locks
    registry: Callable[[], Registry]
    unpacker: Callable[[], LayerUnpacker]

    def resolve(self, reference: Reference, platform: Platform, *, fresh: bool) -> BaseImage:
        """See `ports.ImageSource`. Raises BuildFailure `registry-…`, `image-no-platform`."""
        entry = None if fresh else self.catalog.find(reference, platform)
        if entry is None:
            entry = self._ask(reference, platform)
        raw = self._read(entry.image_id)
        return BaseImage(str(reference), entry.manifest or entry.image_id, raw, entry.layers, reference)

    def ensure(self, image: BaseImage, progress: Progress) -> ChainID | None:
        """See `ports.ImageSource`. Raises BuildFailure `registry-…`, `image-…`, `store-…`."""
        config = decode_config(image.config_raw)
        chains = chains_of(config)
        missing = [index for index, chain in enumerate(chains) if self.snapshots.get(chain) is None]
        if missing:
            if len(image.layers) != len(chains):
                raise BuildFailure(
                    "image-layers-gone",
                    f"the layers of {image.name} are not in the store",
                    hint="pull or import the image again",
                )
            with self.locks.hold(f"unpack-{chains[-1].partition(':')[2]}"):
                self._fetch(image, config, chains, missing[0], progress)
        return chains[-1] if chains else None

    def _ask(self, reference: Reference, platform: Platform) -> ImageEntry:
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
        entry = ImageEntry(self.blobs.put(config_raw), self.blobs.put(raw), found.layers)
        self.catalog.add(entry, (reference,), time.time())
        return entry

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

    # --- layers ----------------------------------------------------------------------------------------------------
    def _fetch(
        self, image: BaseImage, config: ImageConfig, chains: list[ChainID], first: int, progress: Progress
    ) -> None:
        from concurrent.futures import Future, ThreadPoolExecutor

        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(_DOWNLOADS, "fetch"))
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            waiting: list[Future[None]] = [
                pool.submit(self._download, image, layer, progress) for layer in image.layers[first:]
            ]
            for index, download in enumerate(waiting, first):
                download.result()
                parent = chains[index - 1] if index else None
                self.unpack(image.layers[index], parent, config.rootfs.diff_ids[index], image.name)

    def _download(self, image: BaseImage, layer: Descriptor, progress: Progress) -> None:
        if self.blobs.has(layer.digest):
            return
        if image.reference is None:
            raise BuildFailure("image-layers-gone", f"layer {layer.digest} of {image.name} is not in the store")
        done = 0
        with (
            self.registry().blob(image.reference, layer) as chunks,
            self.blobs.writer(layer.digest, layer.size, verified=True) as writer,
        ):
            for chunk in chunks:
                done += writer.write(chunk)
                progress(layer.digest, done, layer.size)
            writer.commit()

    def unpack(self, layer: Descriptor, parent: ChainID | None, expected: DiffID, name: str) -> None:
        """Unpack a blob of the store above `parent`, unless that was done. Raises BuildFailure `image-…`."""
        if self.snapshots.get(chain_id(parent, expected)) is not None:
            return
        with self.blobs.open(layer.digest) as stream, self.snapshots.begin(parent) as work:
            actual = self.unpacker().unpack(stream, layer_compression(layer.media_type), work)
            if actual != expected:
                raise BuildFailure(
                    "image-wrong-diff-id",
                    f"a layer of {name} is not what its configuration says",
                    cause=f"{layer.digest} unpacks to {actual}, not to {expected}",
                )
            self.snapshots.commit(work, parent, actual, None, built=False)


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
