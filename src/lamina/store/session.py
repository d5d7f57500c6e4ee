"""Work in progress: one directory below `tmp/` a process, owned through an flock, and what is left of the dead."""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import suppress
from pathlib import Path

from lamina.store.failures import explained
from lamina.store.layout import FileLock, Layout
from lamina.store.remove import has_mounts, remove_tree

_OWNER = "owner"


class Session:
    """Gives out fresh paths below this process's own directory in `tmp/`, which is made at the first call."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._guard = threading.Lock()
        self._directory: Path | None = None
        self._owner: FileLock | None = None
        self._numbers = itertools.count()
        self._sweepers: list[threading.Thread] = []

    def fresh(self) -> Path:
        """A path that does not exist yet, on the file system of the layers. Raises BuildFailure."""
        with self._guard:
            if self._directory is None:
                with explained(self._layout.root):
                    self._directory = self._claim()
        return self._directory / str(next(self._numbers))

    def _claim(self) -> Path:
        # Shared against `recover`, which must not find the directory between its making and its lock.
        gate = FileLock(self._layout.locks / "recover", shared=True)
        try:
            directory = self._layout.tmp / os.urandom(6).hex()
            directory.mkdir(mode=0o700)
            self._owner = FileLock(directory / _OWNER)
            return directory
        finally:
            gate.close()

    def discard(self, path: Path) -> None:
        """Delete something of `layers/`, `blobs/` or `downloads/`: out of the way by one rename, then at leisure."""
        trash = self.fresh()
        with explained(path):
            with suppress(FileNotFoundError):
                path.rename(trash)
            remove_tree(trash)

    def sweep(self, path: Path) -> None:
        """Delete a workspace that is done with, while the next step runs: it costs what a short step does. What cannot
        be deleted goes with the session, or at the next start."""
        sweeper = threading.Thread(target=_sweep, args=(path,), name="sweep")
        sweeper.start()
        self._sweepers.append(sweeper)

    def swept(self) -> None:
        """Wait until what `sweep` was given is gone."""
        for sweeper in tuple(self._sweepers):
            sweeper.join()

    def close(self) -> None:
        """Delete the directory with all that is in it."""
        self.swept()
        with self._guard:
            directory, self._directory = self._directory, None
            owner, self._owner = self._owner, None
        if directory is not None and not has_mounts(directory):
            with suppress(OSError):
                remove_tree(directory)
        if owner is not None:
            owner.close()


def _sweep(path: Path) -> None:
    with suppress(OSError):
        if not has_mounts(path):
            remove_tree(path)


def recover(layout: Layout) -> int:
    """Delete what dead processes left in `tmp/`; returns how many there were. One listing if there is nothing.

    A directory below which something is still mounted is left alone: deleting through a mount would reach files that
    are not the store's.
    """
    with explained(layout.root):
        names = os.listdir(layout.tmp)
        if not names:
            return 0
        try:
            gate = FileLock(layout.locks / "recover", wait=False)
        except BlockingIOError:
            return 0  # another process is at it, or one is just starting
        try:
            dead = [(layout.tmp / name, lock) for name in names if (lock := _take(layout.tmp / name)) is not None]
        finally:
            gate.close()
    removed = 0
    for directory, lock in dead:
        with suppress(OSError):  # what cannot be deleted now is tried again at the next opening
            if not has_mounts(directory):
                remove_tree(directory)
                removed += 1
        lock.close()
    return removed


def _take(directory: Path) -> FileLock | None:
    """The lock of a directory whose owner is dead, None if it lives."""
    try:
        return FileLock(directory / _OWNER, wait=False)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return None
