"""A store in memory: passes the same contract suites as the one on disk."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest, digest_of
from lamina.keys.filetree import FileRecord
from lamina.keys.record import CacheRecord


class MemoryBlobs:
    """A `ports.BlobStore`."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def has(self, digest: Digest) -> bool:
        return digest in self._blobs

    def open(self, digest: Digest) -> BinaryIO:
        if digest not in self._blobs:
            raise BuildFailure("store-blob-missing", f"the store has no blob {digest}")
        return io.BytesIO(self._blobs[digest])

    def writer(
        self, expected: Digest | None = None, size: int | None = None, *, verified: bool = False
    ) -> MemoryBlobWriter:
        return MemoryBlobWriter(self._blobs, expected, size)

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        self._blobs[digest] = data
        return digest

    def delete(self, digest: Digest) -> None:
        self._blobs.pop(digest, None)


class MemoryBlobWriter:
    """A `ports.BlobWriter`."""

    def __init__(self, blobs: dict[Digest, bytes], expected: Digest | None, size: int | None) -> None:
        self._blobs = blobs
        self._expected = expected
        self._size = size
        self._data = bytearray()

    def __enter__(self) -> MemoryBlobWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._data.clear()

    def write(self, data: bytes) -> int:
        self._data += data
        if self._size is not None and len(self._data) > self._size:
            raise BuildFailure("store-blob-mismatch", "the blob is larger than announced")
        return len(data)

    def commit(self) -> Digest:
        data = bytes(self._data)
        digest = digest_of(data)
        if self._size not in (None, len(data)) or self._expected not in (None, digest):
            raise BuildFailure("store-blob-mismatch", f"the blob {self._expected} is not what it should be")
        self._blobs[digest] = data
        return digest


class MemoryCacheIndex:
    """A `ports.CacheIndex`; `present` tells whether a result's snapshot is still there, `packed` has the layers that
    are there as blobs."""

    def __init__(
        self, present: Callable[[ChainID], bool] = lambda chain: True, packed: Collection[DiffID] = ()
    ) -> None:
        self._present = present
        self._packed = packed
        self._records: list[CacheRecord] = []
        #: The same, those used last at the end.
        self._used: list[CacheRecord] = []

    def find(self, key: Digest) -> CacheRecord | None:
        for record in reversed(self._records):
            if key in (record.key.digest, record.content_key) and (
                record.result is None or self._present(record.result) or record.diff_id in self._packed
            ):
                self._used.sort(key=lambda one: one is record)
                return record
        return None

    def nearest(self, address: str, project: str, text: str) -> Sequence[CacheRecord]:
        known = [record for record in self._used if record.project == project]
        chosen = [record for record in known if record.address == address][-8:]
        chosen += [record for record in known if record.text == text][-8:]
        chosen = chosen or [record for record in self._used if record.text == text][-8:]
        return tuple(record for record in reversed(self._used) if any(record is one for one in chosen))

    def add(self, record: CacheRecord) -> None:
        self._records.append(record)
        self._used.append(record)


class MemoryFacts:
    """A `ports.FactStore`."""

    def __init__(self) -> None:
        self._lists: dict[Digest, tuple[FileRecord, ...]] = {}
        self._answers: dict[Digest, Digest] = {}

    def put(self, digest: Digest, records: Sequence[FileRecord], like: Digest | None = None) -> None:
        self._lists.setdefault(digest, tuple(records))

    def get(self, digest: Digest) -> tuple[FileRecord, ...] | None:
        return self._lists.get(digest)

    def remember(self, question: Digest, answer: Digest) -> None:
        self._answers[question] = answer

    def recall(self, question: Digest) -> Digest | None:
        return self._answers.get(question)


class MemoryLocks:
    """A `ports.Locks` across the threads of one process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            yield
