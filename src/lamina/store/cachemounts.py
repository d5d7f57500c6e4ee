"""The folders behind `RUN --mount=type=cache`: ordinary folders that outlive builds, one lock file beside each.

Below the directory lies `NAME-HASH/` for every cache, and in it for each of its folders (there are several only if
private ones were wanted side by side) the folder itself, `0`, and `0.json`: its lock, the name that the Dockerfile gave
it, and in its modification time the moment of its last use.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from lamina.store.failures import explained
from lamina.store.layout import FileLock
from lamina.store.measure import disk_bytes
from lamina.store.remove import has_mounts, remove_tree

_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
_READABLE = 40
_NUMBER = re.compile(r"(0|[1-9][0-9]*)\.json\Z")
#: Seconds until it is looked again whether somebody has made a folder.
_MOMENT = 0.002


class CacheFolder(Struct, frozen=True):
    """One folder: the name (id) of its cache, and when a step last used it, in seconds since the epoch."""

    name: str
    path: Path
    used: float

    def size(self) -> int:
        """The bytes that it takes on the disk, counted now."""
        return disk_bytes(self.path)


class _Description(Struct):
    name: str


class CacheMounts:
    """Implements `ports.CacheMounts` below `directory`, which is made when it is first needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def lease(
        self, name: str, sharing: Literal["shared", "private", "locked"], make: Callable[[Path], None]
    ) -> Iterator[Path]:
        """See `ports.CacheMounts`. Not reentrant: a step that asks for a locked folder twice waits for itself. `shared`
        waits while a locked or private user has the folder.

        Raises BuildFailure `store-…`, and what `make` raises; no folder is there then.
        """
        cache = self._directory / directory_name(name)
        with explained(cache):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sharing == "private":
            folder, lock = _free(cache, name, make)
        else:
            folder = cache / "0"
            lock = _held(folder, name, make, shared=sharing == "shared")
        try:
            yield folder
        finally:
            with suppress(OSError):
                os.utime(_lock_path(folder))
            lock.close()

    def folders(self) -> tuple[CacheFolder, ...]:
        """All folders, sorted by name and path. Raises BuildFailure `store-…`."""
        found = []
        for lock_path in self._lock_paths():
            folder = lock_path.with_suffix("")
            with suppress(FileNotFoundError):
                used = lock_path.stat().st_mtime
                if _is_directory(folder):
                    found.append(CacheFolder(_name_in(lock_path), folder, used))
        return tuple(sorted(found, key=lambda folder: (folder.name, folder.path)))

    def unused(self, *, unused_since: float | None = None) -> tuple[CacheFolder, ...]:
        """What `delete` would delete now. Raises BuildFailure `store-…`."""
        found = []
        for folder in self.folders():
            lock = _try(folder.path) if unused_since is None or folder.used < unused_since else None
            if lock is not None:
                lock.close()
                found.append(folder)
        return tuple(found)

    def delete(self, *, unused_since: float | None = None) -> tuple[CacheFolder, ...]:
        """Delete the folders that nobody uses now, or of these only those last used before `unused_since` (seconds
        since the epoch). Returns what was deleted. Raises BuildFailure `store-…`."""
        deleted = []
        for lock_path in self._lock_paths():
            folder = lock_path.with_suffix("")
            lock = _try(folder)
            if lock is None:
                continue
            try:
                found = CacheFolder(_name_in(lock_path), folder, lock_path.stat().st_mtime)
                if (unused_since is None or found.used < unused_since) and not has_mounts(folder):
                    if _is_directory(folder):
                        deleted.append(found)
                    _discard(folder)
            finally:
                lock.close()
            with suppress(OSError):  # there are more folders in it, or somebody is about to make one
                folder.parent.rmdir()
        return tuple(deleted)

    def _lock_paths(self) -> Iterator[Path]:
        with explained(self._directory):
            for cache in _entries(self._directory):
                if _is_directory(cache):
                    yield from (path for path in _entries(cache) if _NUMBER.match(path.name))


def directory_name(name: str) -> str:
    """The folder name of a cache: what is readable of its name (any text), and a hash that tells names apart."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    readable = _UNSAFE.sub("-", name).strip("-.")[:_READABLE]
    return f"{readable}-{digest}" if readable else digest


def _free(cache: Path, name: str, make: Callable[[Path], None]) -> tuple[Path, FileLock]:
    """The first folder that nobody uses, made if there is none of that number, and its lock."""
    numbers = itertools.count()
    while (lock := _try(folder := cache / str(next(numbers)))) is None:
        pass
    with _closed_on_error(lock):
        _fill(folder, name, make)
    return folder, lock


def _held(folder: Path, name: str, make: Callable[[Path], None], *, shared: bool) -> FileLock:
    """The lock of a folder that exists, waited for."""
    while True:
        lock = _wait(folder, shared=shared)
        with _closed_on_error(lock):
            if _is_directory(folder):
                return lock
            if not shared:
                _fill(folder, name, make)
                return lock
        lock.close()
        # Only who is alone may make it. Then from the start: nothing holds it while the kind of lock changes. Nobody is
        # waited for: whoever has it now may be at work in it, in the folder that somebody made meanwhile.
        alone = _try(folder)
        if alone is None:
            time.sleep(_MOMENT)
            continue
        with _closed_on_error(alone):
            _fill(folder, name, make)
        alone.close()


def _fill(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    """Make the folder if it is not there, whole or not at all; its lock is ours alone."""
    scrap = folder.with_suffix(".scrap")
    with explained(folder):
        remove_tree(scrap)  # of a process that died here
        if _is_directory(folder):
            return
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        _lock_path(folder).write_bytes(msgspec.json.encode(_Description(shown)))
        scrap.mkdir(mode=0o755)
    try:
        make(scrap)
        with explained(folder):
            scrap.rename(folder)
    except BaseException:
        with suppress(OSError):
            remove_tree(scrap)
        raise


def _discard(folder: Path) -> None:
    """Delete a folder and its lock, which is ours alone: out of the way by one rename, so never half."""
    scrap = folder.with_suffix(".scrap")
    with explained(folder):
        remove_tree(scrap)
        with suppress(FileNotFoundError):
            folder.rename(scrap)
        remove_tree(scrap)
        _lock_path(folder).unlink(missing_ok=True)


def _wait(folder: Path, *, shared: bool) -> FileLock:
    while True:
        lock = _opened(folder, shared=shared, wait=True)
        if lock is not None:
            return lock


def _try(folder: Path) -> FileLock | None:
    """The lock of a folder for us alone, None if somebody else uses the folder."""
    while True:
        try:
            lock = _opened(folder, shared=False, wait=False)
        except BlockingIOError:
            return None
        if lock is not None:
            return lock


def _opened(folder: Path, *, shared: bool, wait: bool) -> FileLock | None:
    """The lock; None to try again: its file was deleted meanwhile, so that it excludes nobody, or the directory was not
    there."""
    path = _lock_path(folder)
    try:
        lock = FileLock(path, shared=shared, wait=wait)
    except FileNotFoundError:
        _make_directory(folder.parent)
        return None
    except BlockingIOError:
        raise
    except OSError:
        with explained(path):
            raise
    with suppress(FileNotFoundError):
        if path.stat().st_ino == lock.inode:
            return lock
    lock.close()
    return None


def _make_directory(path: Path) -> None:
    """Make it; others may make and delete it at the same time."""
    with explained(path):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            with suppress(FileNotFoundError):
                if not stat.S_ISDIR(path.lstat().st_mode):
                    raise


@contextmanager
def _closed_on_error(lock: FileLock) -> Iterator[None]:
    try:
        yield
    except BaseException:
        lock.close()
        raise


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _name_in(path: Path) -> str:
    """The name that a lock file holds; that of its directory if a crash left none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Description).name
    except msgspec.DecodeError:
        return path.parent.name
