"""The parts of an open store, for what works on several of them."""

from __future__ import annotations

from lamina.store import durability
from lamina.store.blobs import Blobs
from lamina.store.builds import Builds
from lamina.store.facts import Facts
from lamina.store.failures import busy, explained
from lamina.store.images import Images
from lamina.store.index import Index
from lamina.store.layerblobs import LayerBlobs
from lamina.store.layout import FileLock, Layout
from lamina.store.limit import Limit
from lamina.store.locks import NamedLocks
from lamina.store.observations import KeptObservations
from lamina.store.records import Records
from lamina.store.session import Session
from lamina.store.snapshots import Snapshots, Verify
from lamina.store.touched import Touched


class Parts:
    """Everything that `Store` joins; plain attributes."""

    def __init__(self, layout: Layout, verify: Verify | None, max_size: int | None) -> None:
        self.layout = layout
        self.boot = durability.boot_id()
        self.verify = verify
        self.index = Index(layout.index)
        self.session = Session(layout)
        self.touched = Touched()
        self.locks = NamedLocks(layout)
        self.limit = Limit(layout, self.index, self.locks, max_size)
        self.blobs = Blobs(layout, self.index, self.session, self.boot, self.touched, self.limit)
        self.snapshots = Snapshots(layout, self.index, self.session, self.boot, verify, self.touched, self.limit)
        self.layer_blobs = LayerBlobs(self.index, self.blobs)
        self.records = Records(self.index, self.snapshots, self.layer_blobs)
        self.facts = Facts(layout, self.session, self.index)
        self.observations = KeptObservations(layout, self.session)
        self.images = Images(self.index)
        self.builds = Builds(self.index)
        self._user: FileLock | None = None

    def alone(self) -> Alone:
        """A block in which no other process uses the store. Raises BuildFailure `store-busy` on entering."""
        return Alone(self._user, self.layout)


class Alone:
    """See `Parts.alone`.

    While an flock changes its kind, nobody holds it for a moment. So that this moment of one process is not the chance
    of another that also wants to be alone, whoever tries holds a second lock, `alone`.
    """

    def __init__(self, user: FileLock | None, layout: Layout) -> None:
        self._user = user
        self._layout = layout
        self._gate: FileLock | None = None

    def __enter__(self) -> None:
        if self._user is None:
            return
        with explained(self._layout.locks):
            try:
                self._gate = FileLock(self._layout.locks / "alone", wait=False)
                self._user.change(shared=False)
            except BlockingIOError as error:
                self._leave()
                raise busy(self._layout.root) from error

    def __exit__(self, *exc: object) -> None:
        if self._user is not None:
            self._user.change(shared=True)
        self._leave()

    def _leave(self) -> None:
        if self._gate is not None:
            self._gate.close()
            self._gate = None
