"""`ports.Fetcher`: files and repositories from the web, kept in one folder so that they are fetched once.

Every direct child of the folder is one download, whose modification time is the moment of its last use: that is what
garbage collection goes by.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

import msgspec

from lamina.keys.filetree import FileRecord, kind_of
from lamina.plan.steps import GitSource, HttpSource
from lamina.ports import Fetched

_Row = tuple[bytes, str, int, int, str, bytes]


class Downloads:
    """Implements `ports.Fetcher` below `root`, which is made when it is needed. `environ` is the caller's: proxies,
    certificates, the agent."""

    def __init__(self, root: Path, agent: str, environ: Mapping[str, str]) -> None:
        self._root = root
        self._agent = agent
        self._environ = environ

    def http(self, source: HttpSource) -> Fetched:
        """See `ports.Fetcher`. Raises BuildFailure `fetch-…`, `store-full`."""
        from lamina.context.http import download

        self._root.mkdir(parents=True, exist_ok=True)
        return download(source, self._root, self._agent, self._environ)

    def git(self, source: GitSource) -> Fetched:
        """See `ports.Fetcher`. Raises BuildFailure `fetch-…`."""
        from lamina.context.git import checkout

        self._root.mkdir(parents=True, exist_ok=True)
        return checkout(source, self._root, self._environ)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file: one process at a time, and the kernel lets go of it when its holder dies."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.utime(descriptor)
        yield
    finally:
        os.close(descriptor)


def describe(root: Path) -> tuple[FileRecord, ...]:
    """All that is below a directory, sorted by path, digested, owned by root."""
    found: list[FileRecord] = []
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with os.scandir(root / above) as entries:
            for entry in entries:
                record = _record(entry, f"{above}/{entry.name}" if above else entry.name)
                found.append(record)
                if record.kind == "dir":
                    waiting.append(record.path)
    return tuple(sorted(found, key=lambda record: record.path))


def _record(entry: os.DirEntry[str], path: str) -> FileRecord:
    info = entry.stat(follow_symlinks=False)
    kind = kind_of(info.st_mode)
    mode = stat.S_IMODE(info.st_mode)
    if kind == "link":
        return FileRecord(path, kind, mode, target=os.readlink(entry.path))
    if kind != "file":
        return FileRecord(path, kind, mode)
    with Path(entry.path).open("rb") as stream:
        return FileRecord(path, kind, mode, info.st_size, file_digest(stream, "sha256").hexdigest())


def remember(records: tuple[FileRecord, ...], at: Path) -> None:
    """Write a tree's records down, so that it is not read again."""
    rows: list[_Row] = [
        (os.fsencode(one.path), one.kind, one.mode, one.size, one.content, os.fsencode(one.target)) for one in records
    ]
    at.write_bytes(msgspec.msgpack.encode(rows))


def recall(at: Path) -> tuple[FileRecord, ...]:
    """What `remember` wrote. Raises OSError, ValueError."""
    rows = msgspec.msgpack.decode(at.read_bytes(), type=list[_Row])
    return tuple(
        msgspec.convert(
            {
                "path": os.fsdecode(path),
                "kind": kind,
                "mode": mode,
                "size": size,
                "content": content,
                "target": os.fsdecode(target),
            },
            FileRecord,
        )
        for path, kind, mode, size, content, target in rows
    )
