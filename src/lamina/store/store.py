"""One open store: its rooms joined, opened and closed together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.diagnostics import BuildFailure
from lamina.store import durability, reserve
from lamina.store.blobs import Blobs
from lamina.store.builds import Builds
from lamina.store.facts import Facts
from lamina.store.failures import explained
from lamina.store.images import Images
from lamina.store.index import Index
from lamina.store.layerblobs import LayerBlobs
from lamina.store.layout import FileLock, Layout, mark_ready, open_layout
from lamina.store.locks import NamedLocks
from lamina.store.records import Records
from lamina.store.session import Session, recover
from lamina.store.snapshots import Snapshots, Verify

if TYPE_CHECKING:
    import subprocess


class Store:
    """Everything that lamina keeps. Any number of processes and threads may use a store at once; each process opens it
    once and closes it (`with Store.open(root) as store`). The parts are attributes."""

    def __init__(self, layout: Layout, verify: Verify | None) -> None:
        """Use `open`."""
        self.layout = layout
        self.boot = durability.boot_id()
        self.verify = verify
        self.index = Index(layout.index)
        self.session = Session(layout)
        self.blobs = Blobs(layout, self.index, self.session, self.boot)
        self.snapshots = Snapshots(layout, self.index, self.session, self.boot, verify)
        self.records = Records(self.index, self.snapshots)
        self.locks = NamedLocks(layout)
        self.facts = Facts(layout, self.session, self.index)
        self.layer_blobs = LayerBlobs(self.index, self.blobs)
        self.images = Images(self.index)
        self.builds = Builds(self.index)
        self._user: FileLock | None = None

    @classmethod
    def open(cls, root: Path, *, verify: Verify | None = None, make_room: bool = False) -> Store:
        """Open the store at `root`, made where there is none.

        `verify` recomputes the diff ID of a layer directory; it is called only for layers that a power loss may have
        damaged, and without it those are misses. `make_room` is for a command that is about to prune: it gives the
        reserve up first, because on a full disk not even the index can be opened. Raises BuildFailure `store-…`.
        """
        layout = open_layout(root)
        if make_room:
            reserve.release(layout)
        store = cls(layout, verify)
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
        if self.layout.format.exists():
            self.index.check()
            return
        with self.locks.hold("create"):  # one at a time: changing a new file to WAL mode suffers no company
            self.index.create()
            reserve.hold(self.layout)
            mark_ready(self.layout)

    def alone(self) -> Alone:
        """A block in which no other process uses the store. Raises BuildFailure `store-busy` on entering."""
        return Alone(self._user, self.layout)

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


class Alone:
    """See `Store.alone`."""

    def __init__(self, user: FileLock | None, layout: Layout) -> None:
        self._user = user
        self._layout = layout

    def __enter__(self) -> None:
        if self._user is None:
            return
        try:
            self._user.change(shared=False)
        except BlockingIOError as error:
            raise BuildFailure(
                "store-busy",
                f"other lamina processes use the store at {self._layout.root}",
                hint="try again when they have finished",
            ) from error

    def __exit__(self, *exc: object) -> None:
        if self._user is not None:
            self._user.change(shared=True)


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
        finally:
            index.close()
    except BuildFailure:
        pass  # nobody listens; unmarked rows are checked after a reboot
