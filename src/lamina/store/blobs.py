"""Content-addressed files: `blobs/sha256/<hex>`, written aside and renamed into place."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of, parse_digest
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import Layout
from lamina.store.limit import Limit
from lamina.store.session import Session
from lamina.store.touched import Touched

_CHUNK = 1 << 20


class Blobs:
    """A `ports.BlobStore` on disk. Safe for several threads and processes: equal content makes equal files."""

    def __init__(
        self, layout: Layout, index: Index, session: Session, boot: str, touched: Touched, limit: Limit
    ) -> None:
        self._layout = layout
        self._index = index
        self._session = session
        self._boot = boot
        self._touched = touched
        self._limit = limit

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be. Raises ValueError for a malformed digest, which could lead elsewhere."""
        return self._layout.blobs / parse_digest(digest)[7:]

    def has(self, digest: Digest) -> bool:
        path = self.path(digest)
        self._touched.add(digest)
        if not path.is_file():
            return False
        rows = self._index.read(
            "SELECT size FROM blobs WHERE digest = ? AND (synced = 1 OR boot = ?)", digest, self._boot
        )
        if rows:
            if path.stat().st_size == rows[0][0]:
                return True
            self.delete(digest)
            return False
        return self._check(digest, path)

    def open(self, digest: Digest) -> BinaryIO:
        """Raises BuildFailure `store-blob-missing`."""
        path = self.path(digest)
        with explained(path), suppress(FileNotFoundError):
            if self.has(digest):
                return path.open("rb")
        raise BuildFailure(
            "store-blob-missing",
            f"the store has no blob {digest}",
            hint="build or pull the image again; `lamina cache verify` lists what is missing",
        )

    def size(self, digest: Digest) -> int:
        """Bytes of a blob. Raises BuildFailure `store-blob-missing`."""
        with self.open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, digest: Digest) -> bytes:
        """A small blob whole. Raises BuildFailure `store-blob-missing`."""
        with self.open(digest) as file:
            return file.read()

    def writer(
        self, expected: Digest | None = None, size: int | None = None, *, verified: bool = False
    ) -> FileBlobWriter:
        """See `ports.BlobStore`; `size` in bytes and, unless `verified`, `expected` are checked at `commit`. Raises
        BuildFailure `store-over-limit`, now if the size is known, else at `commit`."""
        if size is not None:
            with self._limit.room(size, written=False):
                pass  # nothing is fetched that could not be kept
        return FileBlobWriter(self, self._session.fresh(), expected, size, verified=verified)

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        if self.has(digest):
            return digest
        with self.writer(digest, len(data)) as writer:
            writer.write(data)
            return writer.commit()

    def delete(self, digest: Digest) -> None:
        """Nothing happens if it is not there."""
        path = self.path(digest)
        with self._index.write() as connection:
            connection.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
        with explained(path), suppress(FileNotFoundError):
            path.unlink()

    def publish(self, draft: Path, digest: Digest, size: int) -> None:
        """Rename a finished file into place, then note it. Between the two it is there, but read once before use."""
        path = self.path(digest)
        self._touched.add(digest)
        with self._limit.room(size):
            with explained(path, size):
                draft.rename(path)
            self._note(digest, size)

    def _note(self, digest: Digest, size: int) -> None:
        with self._index.write() as connection:
            connection.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, 0)", (digest, size, self._boot))

    def _check(self, digest: Digest, path: Path) -> bool:
        """A file that no row vouches for: read it; keep and note it if it is what its name says, else delete it."""
        with explained(path), suppress(FileNotFoundError):
            if file_digest(path) == digest:
                self._note(digest, path.stat().st_size)
                return True
        self.delete(digest)
        return False


def file_digest(path: Path) -> Digest:
    """The digest of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())


class FileBlobWriter:
    """See `ports.BlobWriter`."""

    def __init__(self, blobs: Blobs, draft: Path, expected: Digest | None, size: int | None, *, verified: bool) -> None:
        self._blobs = blobs
        self._draft = draft
        self._expected = expected
        self._size = size
        self._hash = None if verified and expected else hashlib.sha256()
        self._written = 0
        with explained(draft):
            self._file = draft.open("xb", buffering=_CHUNK)

    def __enter__(self) -> FileBlobWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # what is still buffered is not wanted any more
            self._file.close()
        with suppress(OSError):
            self._draft.unlink()

    def write(self, data: bytes) -> int:
        if self._hash is not None:
            self._hash.update(data)
        self._written += len(data)
        if self._size is not None and self._written > self._size:
            raise self._mismatch(f"more than the {self._size:,} bytes that were announced")
        with explained(self._draft, self._size):
            return self._file.write(data)

    def commit(self) -> Digest:
        with explained(self._draft, self._size):
            self._file.close()
        if self._size is not None and self._written != self._size:
            raise self._mismatch(f"{self._written:,} bytes instead of {self._size:,}")
        digest = self._expected
        if self._hash is not None:
            digest = Digest("sha256:" + self._hash.hexdigest())
        assert digest is not None, "there is a hash where nothing is expected"
        if self._expected not in (None, digest):
            raise self._mismatch(f"its content is {digest}")
        self._blobs.publish(self._draft, digest, self._written)
        return digest

    def _mismatch(self, cause: str) -> BuildFailure:
        wanted = f" {self._expected}" if self._expected else ""
        return BuildFailure("store-blob-mismatch", f"the blob{wanted} is not what it should be", cause=cause)
