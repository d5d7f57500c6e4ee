"""Ports of images: registries, layers that are packed, names, and the cache that machines share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from msgspec import Struct

from lamina.digest import ChainID, DiffID, Digest
from lamina.keys.record import CacheRecord
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference
from lamina.ports.storing import Snapshot, Workspace


class SharedStep(Struct, frozen=True):
    """A step that a shared cache has: the record as its builder wrote it, and the blob of its layer there."""

    record: CacheRecord
    layer: Descriptor


class SharedCache(Protocol):
    """Steps that other machines built. But for `bring` nothing here fails: a cache that does not answer has nothing."""

    def find(self, keys: Sequence[Digest]) -> Mapping[Digest, SharedStep]:
        """What is there under these definition and content keys, all asked for at once. What is given is consistent:
        the record has that key, its key is the digest of its parts, and its result the chain of parent and layer."""

    def ahead(self, steps: Sequence[SharedStep]) -> None:
        """Begin to fetch the layers of these steps, which are about to be brought one after the other."""

    def bring(self, step: SharedStep, progress: Callable[[str, int, int | None], None]) -> None:
        """Fetch the layer of a step and verify its digest: it is among the `PackedLayers` then. Raises BuildFailure."""

    def lost(self, step: SharedStep) -> None:
        """A layer that was brought is not what the step says: it is not to be found again."""

    def nearest(self, address: str) -> Sequence[CacheRecord]:
        """Records that others wrote of the step with this address, to compare a missed key with; their lists of files
        are in the fact store then."""

    def offer(self, record: CacheRecord) -> None:
        """Have a step of this store written to the cache some time, unless it is there."""


class BaseImage(Struct, frozen=True):
    """An image that FROM or COPY --from names, resolved. `digest` is the platform manifest's digest, or the
    configuration's for an image that has never had a manifest; `config_raw` the configuration's bytes. `reference` is
    what its layers are fetched by."""

    name: str
    digest: Digest
    config_raw: bytes
    layers: tuple[Descriptor, ...] = ()
    reference: Reference | None = None


class Registry(Protocol):
    """The pulling half of the distribution protocol. All errors are BuildFailure `registry-…`."""

    def resolve(self, reference: Reference) -> Descriptor:
        """What a tag or digest points at now (HEAD): media type, digest, size."""

    def manifest(self, reference: Reference, digest: Digest | None = None) -> tuple[Manifest | Index, bytes]:
        """A manifest or index and its verified raw bytes: of `digest` if given, else of the reference."""

    def blob(self, reference: Reference, descriptor: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """A blob's verified bytes in chunks: the last chunk is only given after digest and size were checked."""


class LayerUnpacker(Protocol):
    """Turning layer tars into layer directories, safely."""

    def unpack(self, stream: BinaryIO, compression: str, work: Workspace) -> DiffID:
        """Unpack a layer into `work.upper`; returns the diff ID of the uncompressed bytes, read to their very end."""

    def gives_back(self, work: Workspace, diff_id: DiffID) -> bool:
        """Whether what was unpacked has this diff ID when it is packed again, as a layer has that lamina made."""


class PackedLayers(Protocol):
    """Which blobs of the store hold a layer, by its diff ID and compression."""

    def add(self, diff_id: DiffID, compression: str, blob: Descriptor, *, checked: bool = True) -> None:
        """Remember a blob; not `checked` if somebody says that it is the layer, and nobody has unpacked it yet."""

    def any(self, diff_id: DiffID) -> Descriptor | None:
        """A blob that is there, if possible one that is checked."""

    def confirm(self, diff_id: DiffID, digest: Digest) -> None: ...
    def forget(self, diff_id: DiffID, digest: Digest) -> None:
        """This blob is not that layer."""


class ImageSource(Protocol):
    """Where FROM finds images: the store's own, then a registry."""

    def resolve(self, reference: Reference, platform: Platform, *, fresh: bool) -> BaseImage:
        """The image for a platform; `fresh` asks the registry although the store knows the name (`--pull`)."""

    def fetch(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> None:
        """Have all layers of the image in the store, as blobs if they are not unpacked: the image is whole then."""

    def ensure(self, image: BaseImage, progress: Callable[[str, int, int | None], None]) -> ChainID | None:
        """Fetch and unpack whatever is missing of the image's layers; returns the top of its stack."""

    def layer(self, parent: ChainID | None, diff_id: DiffID, name: str) -> Snapshot | None:
        """A layer that a cached step made, above `parent`: the one there, one that holds the same, or unpacked from its
        blob. None if the store has it in no form. Raises BuildFailure if the blob is not that layer: it is forgotten
        then. `name` is for messages."""


class ImageEntry(Struct, frozen=True):
    """An image of the store. `manifest` is the platform manifest's digest if it came from a registry or an archive;
    `layers` its compressed blobs then. `origin` is the name under which a registry has them."""

    image_id: Digest
    manifest: Digest | None = None
    layers: tuple[Descriptor, ...] = ()
    origin: Reference | None = None


class Catalog(Protocol):
    """The images that the store knows by name."""

    def find(self, reference: Reference, platform: Platform) -> ImageEntry | None: ...
    def add(self, entry: ImageEntry, references: Sequence[Reference], created: float) -> None: ...
    def note(self, key: Digest, image_id: Digest) -> None:
        """Remember which image was built from the inputs that a final key stands for (see `engine.identity`)."""

    def made(self, key: Digest) -> ImageEntry | None:
        """The image that was noted under a final key, if it is still there."""
