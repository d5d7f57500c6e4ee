"""Ports of the store: blobs, snapshots, cache records, lists of files, observations, locks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from lamina.digest import ChainID, DiffID, Digest
from lamina.keys.filetree import FileRecord
from lamina.keys.looks import Observations
from lamina.keys.record import CacheRecord


class BlobWriter(Protocol):
    """An open blob. Nothing is visible to others before `commit`; leaving the `with` block without it discards all."""

    def __enter__(self) -> BlobWriter: ...
    def __exit__(self, *exc: object) -> None: ...
    def write(self, data: bytes) -> int: ...
    def commit(self) -> Digest:
        """Make it visible. Raises BuildFailure `store-…` if digest or size differ from what was expected."""


class BlobStore(Protocol):
    """Content-addressed bytes: configurations, manifests, compressed layers."""

    def has(self, digest: Digest) -> bool: ...
    def open(self, digest: Digest) -> BinaryIO:
        """Raises BuildFailure `store-blob-missing`."""

    def writer(self, expected: Digest | None = None, size: int | None = None, *, verified: bool = False) -> BlobWriter:
        """A new blob. `verified`: whoever gives the bytes has compared them with `expected` before the last one, as
        `Registry.blob` does, so that they need not be hashed twice."""

    def put(self, data: bytes) -> Digest: ...
    def delete(self, digest: Digest) -> None: ...


class Snapshot(Struct, frozen=True):
    """A committed stack of layers. `layer` is this layer's own directory in overlayfs' format (whiteouts are character
    devices 0:0, opaque directories carry the xattr `<xattr namespace>.overlay.opaque`)."""

    chain_id: ChainID
    parent: ChainID | None
    diff_id: DiffID
    layer: Path
    size: int


class Workspace(Struct, frozen=True):
    """A layer in the making. `layers` are the directories below it, topmost first; the step writes to `upper` (also
    in overlayfs' format); `work` is overlayfs' work directory; `scratch` is free for mount points and the like."""

    layers: tuple[Path, ...]
    upper: Path
    work: Path
    scratch: Path


class Snapshotter(Protocol):
    """Layers as directories, stacked by chain ID."""

    def get(self, chain: ChainID) -> Snapshot | None: ...
    def stack(self, chain: ChainID | None) -> tuple[Path, ...]:
        """The layer directories of a chain, topmost first; `()` for None (scratch). Raises `store-snapshot-missing`."""

    def begin(self, parent: ChainID | None) -> AbstractContextManager[Workspace]:
        """A workspace above `parent`, deleted when the block ends unless it was committed."""

    def commit(
        self,
        work: Workspace,
        parent: ChainID | None,
        diff_id: DiffID,
        size: int | None,
        *,
        built: bool = True,
        disk: int | None = None,
    ) -> Snapshot:
        """Publish `work.upper`: `size` bytes of files, `disk` as in `LayerDiff` (None: count); or give what is there.

        `built` is False for a layer unpacked from an image: its directory does not give back its diff ID and may have
        parents that its tar left out, so it is neither shared with other chains nor verified, but fetched again."""

    def adopt(self, parent: ChainID | None, diff_id: DiffID) -> Snapshot | None:
        """Put a layer that lamina built elsewhere above `parent`, without copying it; None if there is none."""


class CacheIndex(Protocol):
    """Cache records: written once, in one transaction each; the insertion is the commit point of a step."""

    def find(self, key: Digest) -> CacheRecord | None:
        """The newest usable record whose definition key or content key is `key`."""

    def nearest(self, address: str, project: str, text: str) -> Sequence[CacheRecord]:
        """Records of that project to compare a missed key with, those used last first: up to 8 with this address, and
        up to 8 with this text, for an instruction inserted above moves all addresses below it. If that project has
        none, up to 8 of others with this text: another checkout of the same files, perhaps."""

    def add(self, record: CacheRecord) -> None: ...


class FactStore(Protocol):
    """Lists of file records by their tree digest, and answers that never change (what a pattern selects in a chain)."""

    def put(self, digest: Digest, records: Sequence[FileRecord], like: Digest | None = None) -> None:
        """Keep a list. `like` names one that it probably resembles, so that it may be stored as a difference."""

    def get(self, digest: Digest) -> Sequence[FileRecord] | None: ...
    def remember(self, question: Digest, answer: Digest) -> None: ...
    def recall(self, question: Digest) -> Digest | None: ...


class Locks(Protocol):
    """Named locks across threads and processes, freed by the kernel when their holder dies."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Block until `name` is ours; used with a step's key, so that the same step runs once."""


class ObservationStore(Protocol):
    """Observations by their digest; a cache record names those of its step."""

    def put(self, observations: Observations) -> Digest: ...
    def get(self, digest: Digest) -> Observations | None:
        """None if they are not there (any more), or damaged."""
