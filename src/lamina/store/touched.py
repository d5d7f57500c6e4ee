"""What this process has looked up or made: a running build stands on it, so nothing of it is evicted meanwhile."""

from __future__ import annotations

import threading


class Touched:
    """Chain IDs and digests. Whoever looks one up says so *before* looking, and whoever deletes holds `lock` from
    reading the set until the rows are gone: so each thing is either kept, or not found.

    `lock` goes before the index's write lock, never the other way round.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # marking, under it, looks at what it keeps
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        if name not in self._names:
            with self.lock:
                self._names.add(name)

    def names(self) -> frozenset[str]:
        """All of them, as of now."""
        with self.lock:
            return frozenset(self._names)
