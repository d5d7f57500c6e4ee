"""Content digests remembered between builds, so that an untouched file is not read again.

One file a context directory, below a directory that the caller gives (the store). An entry counts only while the
file's whole identity is the remembered one, and only if that identity was not racy when the content was read (see
`identity`), which is git's rule for its index. The file is a shortcut and nothing else: it is replaced atomically,
and one that is damaged, foreign, from another version or from the future is as good as none.

Layout: magic, SHA-256 of the rest, then a msgpack array of columns (`_Columns`). Columns, because one bytes object for
100,000 identities loads in microseconds and 100,000 objects do not.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import msgspec

from lamina.context import identity
from lamina.keys.filetree import FileRecord

_MAGIC = b"lamina stat cache 1\n"
_MAX_BYTES = 1 << 30
_DIGEST = 32
_HEX = 2 * _DIGEST
_MARK = identity.SIZE
#: Files of this context that one build does not see (another ignore file hid them) are kept up to this many.
_UNSEEN = 10_000
_STALE_SECONDS = 3600

Xattrs = tuple[tuple[str, bytes], ...]
#: Identity, hex SHA-256, extended attributes.
_Row = tuple[bytes, str, Xattrs]


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    """Row n: the n-th of `paths` (joined by NUL), the n-th 40 bytes of `identities`, the n-th 32 of `digests`."""

    directory: bytes
    saved_at: int
    paths: bytes
    identities: bytes
    digests: bytes
    xattrs: dict[int, Xattrs]


class StatCache:
    """The remembered digests of one context directory, `directory` being its absolute real path and `now` the
    time, in nanoseconds since the epoch."""

    def __init__(self, folder: Path, directory: str, now: int) -> None:
        self._folder = folder
        self._directory = os.fsencode(directory)
        self._file = folder / (hashlib.sha256(self._directory).hexdigest()[:32] + ".stat")
        self._use(_load(self._file, self._directory, now) or _Columns(self._directory, 0, b"", b"", b"", {}))
        self._new: dict[str, _Row] = {}

    def _use(self, columns: _Columns) -> None:
        self._paths = os.fsdecode(columns.paths).split("\0") if columns.paths else []
        self._identities = columns.identities
        self._digests = columns.digests.hex()
        self._xattrs = columns.xattrs

    def matching(self, records: Sequence[FileRecord], marks: Sequence[bytes]) -> Iterator[FileRecord]:
        """Those of `records` (sorted by path) whose identity, in `marks`, is the remembered one, with `content` and
        `xattrs`. Both lists are sorted, so this is one merge and no look-up."""
        paths, identities, digests, xattrs = self._paths, self._identities, self._digests, self._xattrs
        row, rows = 0, len(paths)
        for record, mark in zip(records, marks, strict=True):
            path = record.path
            while row < rows and paths[row] < path:
                row += 1
            if row == rows:
                return
            if paths[row] == path and identities[row * _MARK : (row + 1) * _MARK] == mark and record.kind == "file":
                content = digests[row * _HEX : (row + 1) * _HEX]
                yield FileRecord(path, "file", record.mode, record.size, content, "", 0, 0, xattrs.get(row, ()))

    def remember(self, path: str, mark: bytes, content: str, xattrs: Xattrs) -> None:
        """Note a digest. The caller has made sure that `mark` is not racy."""
        self._new[path] = (mark, content, xattrs)

    def save(self, seen: Sequence[FileRecord], now: int) -> None:
        """Write what was remembered since the last save, if anything. `seen` is this build's scan.

        Never fails: a build without this shortcut is only slower.
        """
        if not self._new:
            return
        merged = self._merge({record.path for record in seen})
        self._new = {}
        paths = sorted(merged)
        columns = _Columns(
            self._directory,
            now,
            os.fsencode("\0".join(paths)),
            b"".join([merged[path][0] for path in paths]),
            bytes.fromhex("".join([merged[path][1] for path in paths])),
            {row: merged[path][2] for row, path in enumerate(paths) if merged[path][2]},
        )
        self._use(columns)
        try:
            self._replace(msgspec.msgpack.encode(columns))
        except OSError:
            pass

    def _merge(self, seen: Container[str]) -> dict[str, _Row]:
        kept: dict[str, _Row] = {}
        unseen: dict[str, _Row] = {}
        for row, path in enumerate(self._paths):
            mark = self._identities[row * _MARK : (row + 1) * _MARK]
            content = self._digests[row * _HEX : (row + 1) * _HEX]
            (kept if path in seen else unseen)[path] = (mark, content, self._xattrs.get(row, ()))
        kept.update(self._new)
        return kept | unseen if len(unseen) <= max(_UNSEEN, len(kept)) else kept

    def _replace(self, payload: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob(f"{self._file.name}.*.tmp"):
            if left.stat().st_mtime < time.time() - _STALE_SECONDS:
                left.unlink(missing_ok=True)
        fresh = self._folder / f"{self._file.name}.{os.getpid()}.{time.monotonic_ns()}.tmp"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(payload).digest())
                file.write(payload)
            fresh.replace(self._file)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


def _load(file: Path, directory: bytes, now: int) -> _Columns | None:
    """The columns of a cache file, None if there is none that can be trusted."""
    try:
        data = _read(file)
    except OSError:
        return None
    head = len(_MAGIC) + _DIGEST
    payload = memoryview(data)[head:]
    if not data.startswith(_MAGIC) or hashlib.sha256(payload).digest() != data[len(_MAGIC) : head]:
        return None
    try:
        columns = msgspec.msgpack.decode(payload, type=_Columns)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    rows = columns.paths.count(b"\0") + 1 if columns.paths else 0
    whole = len(columns.identities) == rows * _MARK and len(columns.digests) == rows * _DIGEST
    # A file from the future means that the clock went back: times that were safely past may come again.
    if not whole or columns.directory != directory or columns.saved_at > now:
        return None
    return columns


def _read(file: Path) -> bytes:
    """The bytes of a file that nobody but this user can have written. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        private = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not private or not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
            return b""
        return opened.read()
