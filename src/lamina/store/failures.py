"""Operating system and SQLite errors told as `BuildFailure`: what, where, what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lamina.diagnostics import BuildFailure

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
#: SQLite's primary result codes (https://www.sqlite.org/rescode.html): CORRUPT, NOTADB.
_DAMAGED = frozenset({11, 26})
_DAMAGED_WORDS = ("no such table", "no such column", "Could not decode")
_BUSY, _READ_ONLY, _IO_ERROR, _FULL_DB = 5, 8, 10, 13
_IO_ERROR_FULL = frozenset({778, 1546, 4874})  # write, truncate, shared memory size: on a full disk the -shm file fails


@contextmanager
def explained(path: Path, needs: int | None = None) -> Iterator[None]:
    """Turn an OSError in the block into a `BuildFailure`; `needs` is how many bytes were to be written, if known."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path, needs) from error


def from_os_error(error: OSError, path: Path, needs: int | None = None) -> BuildFailure:
    """The `BuildFailure` for an OSError met at `path`."""
    cause = f"{error.strerror or error}: {path}"
    if error.errno in _FULL:
        return full(path, needs, cause)
    if error.errno == errno.EROFS:
        return BuildFailure(
            "store-read-only",
            f"the store at {path} is on a read-only file system",
            cause=cause,
            hint="choose another place with --root or $LAMINA_ROOT",
        )
    if error.errno in _DENIED:
        return BuildFailure(
            "store-permission",
            f"no permission to use the store at {path}",
            cause=cause,
            hint="choose a directory of your own with --root or $LAMINA_ROOT, or run as the store's owner",
        )
    return BuildFailure("store-io", f"the store at {path} cannot be used", cause=cause)


def full(path: Path, needs: int | None, cause: str) -> BuildFailure:
    """`store-full`, with what is needed and what is free, both in bytes."""
    try:
        stat = os.statvfs(path if path.exists() else path.parent)
        free = f"{stat.f_bavail * stat.f_frsize:,} bytes are free"
    except OSError:
        free = "the disk is full"
    wanted = f", {needs:,} are needed" if needs is not None else ""
    return BuildFailure(
        "store-full",
        f"no space left for the store at {path}: {free}{wanted}",
        cause=cause,
        hint="make room with `lamina cache prune`, or choose a larger disk with --root",
    )


def from_sqlite_error(error: sqlite3.Error, path: Path) -> BuildFailure:
    """The `BuildFailure` for an error of the index at `path`."""
    code = getattr(error, "sqlite_errorcode", 1)
    primary = code & 0xFF
    if primary == _FULL_DB or code in _IO_ERROR_FULL:
        return full(path, None, str(error))
    if primary == _BUSY:
        return BuildFailure(
            "store-busy",
            f"another process holds the index {path} for too long",
            cause=str(error),
            hint="look for a stopped lamina process, then try again",
        )
    if primary == _READ_ONLY:
        return BuildFailure(
            "store-read-only",
            f"the index {path} cannot be written",
            cause=str(error),
            hint="choose another place with --root or $LAMINA_ROOT",
        )
    if primary == _IO_ERROR:
        return BuildFailure("store-io", f"the index {path} cannot be read or written", cause=str(error))
    if primary in _DAMAGED or str(error).startswith(_DAMAGED_WORDS):
        return damaged(path, str(error))
    return BuildFailure("store-io", f"the index {path} cannot be used", cause=str(error))


def damaged(path: Path, cause: str) -> BuildFailure:
    """`store-index-damaged`: nothing is served from an index that cannot be trusted."""
    return BuildFailure(
        "store-index-damaged",
        f"the store's index {path} is damaged",
        cause=cause,
        hint="`lamina cache verify --repair` sets it aside and keeps every image name that can still be read",
    )


def busy(root: Path) -> BuildFailure:
    """`store-busy`: something needs the store alone."""
    return BuildFailure(
        "store-busy",
        f"other lamina processes use the store at {root}",
        hint="try again when they have finished",
    )
