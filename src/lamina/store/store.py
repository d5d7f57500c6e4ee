"""One open store: its rooms joined, opened and closed together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.diagnostics import BuildFailure
from lamina.store import durability, reserve
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import FileLock, mark_ready, open_layout
from lamina.store.limit import refresh_elsewhere
from lamina.store.parts import Parts
from lamina.store.session import recover
from lamina.store.snapshots import Verify

if TYPE_CHECKING:
    import subprocess


class Store(Parts):
    """Everything that lamina keeps. Any number of processes and threads may use a store at once; each process opens it
    once and closes it (`with Store.open(root) as store`). The parts are attributes."""

    @classmethod
    def open(
        cls, root: Path, *, verify: Verify | None = None, make_room: bool = False, max_size: int | None = None
    ) -> Store:
        """Open the store at `root`, made where there is none.

        `verify` recomputes the diff ID of a layer directory; it is called only for layers that a power loss may have
        damaged, and without it those are misses. `make_room` is for a command that is about to prune: it gives the
        reserve up first, because on a full disk not even the index can be opened. `max_size` is the most bytes that the
        store may take on the disk, by default what `lamina cache limit` set. Raises BuildFailure `store-…`.
        """
        layout = open_layout(root)
        if make_room:
            reserve.release(layout)
        store = cls(layout, verify, max_size)
        store.limit.make_room = store._make_room
        try:
            with explained(layout.root):
                # Shared by all who use the store; what deletes (gc) needs it alone.
                store._user = FileLock(layout.locks / "users", shared=True)
            store._prepare()
            recover(layout)
        except BaseException:
            store.close()
            raise
        return store

    def _prepare(self) -> None:
        if self.layout.ready:
            self.index.check()
            return
        with self.locks.hold("create"):  # one at a time: changing a new file to WAL mode suffers no company
            if not self.layout.format.exists():
                self.index.create()
                reserve.hold(self.layout)
            self.index.migrate()
            mark_ready(self.layout)

    def _make_room(self, needed: int) -> None:
        from lamina.store.evict import evict  # here, because hardly any command needs it

        evict(self, needed)

    def settle(self) -> subprocess.Popen[bytes] | None:
        """At the end of a command: let what it made be synced by a process of its own, which need not be waited for."""
        return durability.settle_later(self.layout) if durability.is_unsettled(self.index) else None

    def close(self) -> None:
        """Release everything. Work that was not committed is gone."""
        try:
            self.records.flush()
        except BuildFailure:
            pass  # only ages records; closing must not fail on a full or damaged store
        self.session.close()
        self.index.close()
        if self._user is not None:
            self._user.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def settle_main() -> None:
    """The process that `durability.settle_later` starts; its argument is the root."""
    root = Path(sys.argv[1])
    if not (root / "format").exists():
        return  # the store was deleted meanwhile, and must not be made anew
    try:
        layout = open_layout(root)
        # Not as a user of the store: garbage collection need not wait for this.
        index = Index(layout.index)
        try:
            index.check()
            durability.settle(layout, index, durability.boot_id())
            refresh_elsewhere(layout, index)
        finally:
            index.close()
    except BuildFailure:
        pass  # nobody listens; unmarked rows are checked after a reboot
