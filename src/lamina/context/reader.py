"""The build context as the engine reads it: `ports.ContextReader` over a directory."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from lamina.context.files import Opener, RehashedFile, VerifiedFile, changed, read_record
from lamina.context.identity import mtime_of, racy
from lamina.context.inspect import why
from lamina.context.modes import Modes
from lamina.context.scan import Scan, open_root, scan, unreadable
from lamina.context.statcache import StatCache
from lamina.dockerfile.ignore import IgnoreRules
from lamina.keys.filetree import FileRecord

_path = attrgetter("path")
#: Before all times that a file can have, in nanoseconds.
_NEVER = -(1 << 127)


class DirectoryContext:
    """A context directory, scanned once, when it is first asked for anything.

    `rules` are the ignore rules, `cache` the folder where stat caches live (None: read everything, remember nothing).
    `modes` says which permission bits the records have; no file counts as older than `earliest` (seconds since 1970),
    since a checkout's times say when it was made. `now` is the clock, in nanoseconds since the epoch. The methods
    may be called from several threads.

    Raises BuildFailure `context-not-found`, `context-not-a-directory`, `context-unreadable`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rules: IgnoreRules | None = None,
        cache: Path | None = None,
        modes: Modes = "keep",
        earliest: int | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.rules = rules
        self._cache_folder = cache
        self._modes = modes
        self._earliest = _NEVER if earliest is None else earliest * 1_000_000_000
        self._now = now
        self._real = os.path.realpath(directory)
        self._root = open_root(str(directory))
        self._opener = Opener(self._root, self._identity)
        self._digested: dict[str, FileRecord] = {}
        #: Identities of files that were edited between the scan and their reading.
        self._edited: dict[str, bytes] = {}
        #: Files whose identity was racy when they were read.
        self._racy: set[str] = set()
        self._lock = Lock()
        #: Where the path after the one that was looked for last stands in the scan.
        self._next = 0

    def __enter__(self) -> DirectoryContext:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the descriptors. Files that are open stay usable."""
        with self._lock:
            self._opener.close()
            if self._root >= 0:
                os.close(self._root)
                self._root = -1

    @cached_property
    def scanned(self) -> Scan:
        """The scan behind it all, for `inspect`."""
        return self._scan()

    @property
    def seen(self) -> Scan | None:
        """The scan, if anything has asked for it yet."""
        return self.__dict__.get("scanned")

    def still(self, directory: str) -> bool:
        """Whether `directory` is the context and all of it is as the scan saw it, if there was one: scans again.

        For when a build is over: what was digested is let go first, for the second scan needs the room.
        """
        self._digested.clear()
        self.__dict__.pop("_cache", None)  # saved when it learnt something; made anew if it is asked for
        if not os.path.samestat(os.stat(directory), os.fstat(self._root)):
            return False
        return self.seen is None or (not self.seen.unreadable and self._scan() == self.seen)

    def _scan(self) -> Scan:
        return scan(self._root, self.rules, self._modes)

    @cached_property
    def _cache(self) -> StatCache | None:
        """The stat cache; when it is loaded, all that it knows of this context goes to `_digested`."""
        if self._cache_folder is None:
            return None
        cache = StatCache(self._cache_folder, self._real, self._now())
        for record in cache.matching(self.scanned.records, self.scanned.identities):
            self._digested[record.path] = record
        return cache

    def entries(self) -> Sequence[FileRecord]:
        """Everything that the ignore rules leave, sorted by path, without content digests."""
        with self._lock:
            return self.scanned.records

    def digested(self, paths: Sequence[str]) -> Sequence[FileRecord]:
        """The records of these paths, files with `content` and `xattrs`; each file is read at most once a build.

        Raises BuildFailure `context-unreadable` (also for a directory that the scan could not look into) and
        `context-changed`; KeyError for a path that is not among the entries.
        """
        with self._lock:
            done, cache = self._digested, self._cache
            # Taken before the first byte is read: what is edited from here on has a later ctime than this, or is racy.
            read_at = self._now()
            found = [done[path] if path in done else self._digest(path, read_at) for path in paths]
            if cache is not None:
                cache.save(self.scanned.records, read_at)
            return found

    def open(self, record: FileRecord) -> BinaryIO:
        """The bytes of a regular file. Raises BuildFailure `context-changed` now, or when it is closed, if it is not
        the file that `record.content` describes."""
        with self._lock:
            path = record.path
            known = self._digested.get(path)
            if known is not None and known.content != record.content:
                raise changed(path, "was edited")
            descriptor = self._opener.open(path)
            if known is None or path in self._racy:
                return RehashedFile(descriptor, path, self._identity(path), record.content)
            return VerifiedFile(descriptor, path, self._identity(path))

    def mtime_ns(self, path: str) -> int:
        """When an entry was last modified, in nanoseconds since the epoch, or `earliest` if that is later. Raises
        KeyError for an unknown path."""
        with self._lock:
            return max(mtime_of(self._identity(path)), self._earliest)

    def hidden_by(self, path: str) -> str | None:
        """The ignore rule that keeps `path` out, with its place; None if none does. Raises `context-unreadable`."""
        told = why(self.scanned, self.rules, path)
        if told.fate == "unreadable":
            raise unreadable(path, told.cause)
        if told.fate != "excluded" or told.rule is None:
            return None
        return f"{told.rule.pattern} ({told.rule.span.file}:{told.rule.span.line})"

    def _identity(self, path: str) -> bytes:
        return self._edited.get(path) or self.scanned.identities[self._row(path)]

    def _row(self, path: str) -> int:
        """Where a path stands in the scan. A search, as a dictionary of a large context costs more than it saves; most
        are asked for in the order of the scan, and found at once."""
        records = self.scanned.records
        row = self._next
        if row >= len(records) or records[row].path != path:
            row = bisect_left(records, path, key=_path)
            if row == len(records) or records[row].path != path:
                raise KeyError(path)
        self._next = row + 1
        return row

    def _digest(self, path: str, read_at: int) -> FileRecord:
        row = self._row(path)
        record = self.scanned.records[row]
        if record.kind == "file":
            record = self._read(record, row, read_at)
        elif path in self.scanned.unreadable:
            raise unreadable(path, self.scanned.unreadable[path])
        self._digested[path] = record
        return record

    def _read(self, record: FileRecord, row: int, read_at: int) -> FileRecord:
        scanned = self.scanned.identities[row]
        descriptor = self._opener.open(record.path)
        try:
            record, mark = read_record(descriptor, record, scanned, self._modes)
        finally:
            os.close(descriptor)
        if mark != scanned:
            self._edited[record.path] = mark
        if racy(mark, read_at):
            self._racy.add(record.path)
        elif self._cache is not None:
            self._cache.remember(record.path, mark, record.content, record.xattrs)
        return record
