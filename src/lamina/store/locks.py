"""Named locks across threads and processes: an flock each, freed by the kernel when its holder dies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lamina.store.failures import explained
from lamina.store.layout import FileLock, Layout


class NamedLocks:
    """A `ports.Locks` on files below `locks/`. Not reentrant: a thread that asks twice waits for itself."""

    def __init__(self, layout: Layout) -> None:
        self._directory = layout.locks

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Block until `name` (any text) is ours. Raises BuildFailure if the lock's file cannot be made."""
        encoded = name.encode("utf-8", "surrogateescape")
        path = self._directory / f"name-{hashlib.sha256(encoded).hexdigest()[:32]}"
        lock = _acquire(path)
        try:
            yield
        finally:
            # Removed while held, so that no file stays for each key there ever was.
            with suppress(OSError):
                path.unlink()
            lock.close()


def _acquire(path: Path) -> FileLock:
    while True:
        with explained(path):
            lock = FileLock(path)
        try:
            # The former holder may have removed the file that we waited for; then our lock excludes nobody.
            if path.stat().st_ino == lock.inode:
                return lock
        except FileNotFoundError:
            pass
        lock.close()
