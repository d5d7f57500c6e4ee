"""A tree that was fetched, as records: taken once, then remembered in a file beside it."""

from __future__ import annotations

import os
import stat
from hashlib import file_digest
from pathlib import Path

import msgspec

from lamina.keys.filetree import FileRecord, Kind, kind_of

_Row = tuple[bytes, Kind, int, int, str, bytes]


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


def remember(records: tuple[FileRecord, ...], at: Path) -> None:
    """Write a tree's records down, so that it is not read again."""
    rows = [
        (os.fsencode(one.path), one.kind, one.mode, one.size, one.content, os.fsencode(one.target)) for one in records
    ]
    at.write_bytes(msgspec.msgpack.encode(rows))


def recall(at: Path) -> tuple[FileRecord, ...]:
    """What `remember` wrote. Raises OSError, ValueError."""
    rows = msgspec.msgpack.decode(at.read_bytes(), type=list[_Row])
    return tuple(
        FileRecord(os.fsdecode(path), kind, mode, size, content, os.fsdecode(target))
        for path, kind, mode, size, content, target in rows
    )


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
