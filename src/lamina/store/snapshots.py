"""Layers as directories: made in `tmp/`, published by one rename and one row."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, chain_id
from lamina.ports.storing import Snapshot, Workspace
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import Layout
from lamina.store.limit import Limit
from lamina.store.measure import measured
from lamina.store.session import Session
from lamina.store.touched import Touched

#: Recomputes the diff ID of a layer directory that lamina built.
Verify = Callable[[Path], DiffID]

_COLUMNS = 'chain, parent, diff_id, layer, size, built, created, boot, synced, disk, "check"'


class Row(Struct, frozen=True):
    """A row of `snapshots` but for its checksum. `layer` is the directory's number; `built`: lamina made it;
    `disk`: the bytes on the disk that the directory added when it was published, -1 if that was never measured."""

    chain: ChainID
    parent: ChainID | None
    diff_id: DiffID
    layer: int
    size: int
    built: int
    created: float
    boot: str
    synced: int
    disk: int = -1

    def checksum(self) -> int:
        """CRC-32 of what must not change unseen (`synced` and `disk` do change)."""
        return zlib.crc32(f"{self.chain} {self.parent} {self.diff_id} {self.layer} {self.size} {self.built}".encode())


class Snapshots:
    """A `ports.Snapshotter` on disk."""

    def __init__(
        self,
        layout: Layout,
        index: Index,
        session: Session,
        boot: str,
        verify: Verify | None,
        touched: Touched,
        limit: Limit,
    ) -> None:
        """`verify` is used for layers that an earlier boot left unsynced; without it those count as missing."""
        self._layout = layout
        self._index = index
        self._session = session
        self._boot = boot
        self._verify = verify
        self._touched = touched
        self._limit = limit

    # --- looking up --------------------------------------------------------------------------------------------------
    def get(self, chain: ChainID) -> Snapshot | None:
        """The snapshot, if it is there and not in doubt. Doubt is settled here, by reading the layer once. From now on
        this process evicts nothing of its chain."""
        self._touched.add(chain)
        row = self._row(chain)
        if row is None or not self._is_usable(row):
            return None
        return self._snapshot(row)

    def stack(self, chain: ChainID | None) -> tuple[Path, ...]:
        """The layer directories of a chain, topmost first, each once; `()` for None (scratch).

        Raises `store-snapshot-missing`.
        """
        layers = []
        while chain is not None:
            snapshot = self.get(chain)
            if snapshot is None:
                raise BuildFailure(
                    "store-snapshot-missing",
                    f"the store has no layer for {chain}",
                    hint="build or pull the image again; `lamina cache verify` lists what is missing",
                )
            layers.append(snapshot.layer)
            chain = snapshot.parent
        # Equal layers of one chain share a directory, which overlayfs refuses to stack twice (ELOOP). Whatever the
        # lower one says of a path, the upper one says again, so the lower one adds nothing.
        return tuple(dict.fromkeys(layers))

    def rows(self) -> list[Row]:
        """Every well-formed row, for garbage collection and checks."""
        found = self._index.read(f"SELECT {_COLUMNS} FROM snapshots")
        return [row for row in map(_decode, found) if row is not None]

    def _row(self, chain: ChainID) -> Row | None:
        found = self._index.read(f"SELECT {_COLUMNS} FROM snapshots WHERE chain = ?", chain)
        return _decode(found[0]) if found else None

    def _snapshot(self, row: Row) -> Snapshot:
        return Snapshot(row.chain, row.parent, row.diff_id, self._layout.layer(row.layer), row.size)

    def _is_usable(self, row: Row) -> bool:
        if not self._layout.layer(row.layer).is_dir():
            return False
        return self._is_trusted(row) or self._settle_doubt(row)

    def _is_trusted(self, row: Row) -> bool:
        return bool(row.synced) or row.boot == self._boot

    # --- doubt -------------------------------------------------------------------------------------------------------
    def _settle_doubt(self, row: Row) -> bool:
        """A layer that an earlier boot left unsynced: mark it good, or discard it with the records that lead to it.

        An unpacked layer cannot be verified by itself: it is discarded, and fetched or unpacked again.
        """
        if row.built and self._verify is None:
            return False
        if row.built and self._verify is not None and self._matches(row, self._verify):
            with self._index.write() as connection:
                connection.execute("UPDATE snapshots SET synced = 1 WHERE layer = ?", (row.layer,))
            return True
        self.discard_layer(row.layer, records=bool(row.built))
        return False

    def _matches(self, row: Row, verify: Verify) -> bool:
        try:
            return verify(self._layout.layer(row.layer)) == row.diff_id
        except (OSError, ValueError, BuildFailure):
            return False  # so damaged that it cannot even be read

    def discard_layer(self, layer: int, *, records: bool) -> None:
        """Delete a layer directory with its snapshots, and if asked the records whose result they are.

        The row goes first: a kill in between leaves a directory that nothing names, which garbage collection takes.
        """
        with self._index.write() as connection:
            if records:
                connection.execute(
                    "DELETE FROM records WHERE result IN (SELECT chain FROM snapshots WHERE layer = ?)", (layer,)
                )
            self.forget(connection, [layer])
        self._session.discard(self._layout.layer(layer))

    def forget(self, connection: sqlite3.Connection, layers: Sequence[int]) -> int:
        """Delete the rows of layers whose directories are about to go; returns the bytes that this frees.

        What they brought and others share by hard links stays on the disk, so it is kept in the counter `carried`.
        """
        counted = 0
        for layer in layers:
            (disk,) = connection.execute("SELECT max(disk) FROM snapshots WHERE layer = ?", (layer,)).fetchone()
            counted += max(0, disk or 0)
        freed, _ = measured([self._layout.layer(layer) for layer in layers])
        connection.executemany("DELETE FROM snapshots WHERE layer = ?", [(layer,) for layer in layers])
        connection.execute("UPDATE counters SET value = value + ? WHERE name = 'carried'", (counted - freed,))
        return freed

    # --- making ------------------------------------------------------------------------------------------------------
    @contextmanager
    def begin(self, parent: ChainID | None) -> Iterator[Workspace]:
        """A workspace above `parent`, deleted after the block unless it was committed.

        The new root directory has mode and owner of the one below, because overlayfs shows the topmost one's.
        """
        layers = self.stack(parent)
        place = self._session.fresh()
        work = Workspace(layers, place / "upper", place / "work", place / "scratch")
        try:
            with explained(place):
                for directory in (place, work.work, work.scratch, work.upper):
                    directory.mkdir(mode=0o700)
                status = layers[0].stat() if layers else None
                if status is not None and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.chown(work.upper, status.st_uid, status.st_gid)
                work.upper.chmod(status.st_mode & 0o7777 if status else 0o755)
            yield work
        except BaseException:
            self._session.sweep(place)
            self._session.swept()  # at once: the disk may be full of it
            raise
        self._session.sweep(place)

    def commit(
        self,
        work: Workspace,
        parent: ChainID | None,
        diff_id: DiffID,
        size: int | None,
        *,
        built: bool = True,
        disk: int | None = None,
    ) -> Snapshot:
        """Publish `work.upper`. If the chain exists already, the existing snapshot is returned.

        Chains whose layers have the same diff ID share one directory if both were `built`. The rename happens inside
        the transaction: a kill before its end leaves a directory that no row names. Raises BuildFailure, also
        `store-over-limit`.
        """
        chain = chain_id(parent, diff_id)
        existing = self.get(chain)
        if existing is not None:
            return existing
        size = file_bytes(work.upper) if size is None else size
        if built and self._twin(diff_id) is not None:
            snapshot = self.adopt(parent, diff_id)
            if snapshot is not None:
                return snapshot
        if disk is None:
            disk, _ = measured([work.upper])
        with self._limit.room(disk), self._index.write() as connection:
            found = self._row(chain)
            if found is not None and self._is_trusted(found) and self._layout.layer(found.layer).is_dir():
                return self._snapshot(found)
            twin = self._twin(diff_id) if built else None
            layer = twin.layer if twin else self._publish(connection, work.upper, size)
            disk = twin.disk if twin else disk
            row = Row(chain, parent, diff_id, layer, size, int(built), time.time(), self._boot, synced=0, disk=disk)
            self._insert(connection, row)
        return self._snapshot(row)

    def adopt(self, parent: ChainID | None, diff_id: DiffID) -> Snapshot | None:
        """A layer that lamina built, above another parent too: one more row for the same directory."""
        chain = chain_id(parent, diff_id)
        existing = self.get(chain)
        if existing is not None:
            return existing
        with self._index.write() as connection:
            twin = self._twin(diff_id)
            if twin is None:
                return None
            row = Row(chain, parent, diff_id, twin.layer, twin.size, 1, time.time(), self._boot, twin.synced, twin.disk)
            self._insert(connection, row)
        return self._snapshot(row)

    def _insert(self, connection: sqlite3.Connection, row: Row) -> None:
        values = (*(getattr(row, name) for name in Row.__struct_fields__), row.checksum())
        sql = f"INSERT OR REPLACE INTO snapshots ({_COLUMNS}) VALUES (?{', ?' * (len(values) - 1)})"
        connection.execute(sql, values)

    def _twin(self, diff_id: DiffID) -> Row | None:
        """A layer that lamina built and that holds the same, if there is one beyond doubt."""
        found = self._index.read(f"SELECT {_COLUMNS} FROM snapshots WHERE diff_id = ? AND built = 1", diff_id)
        for row in map(_decode, found):
            if row is not None and self._is_trusted(row) and self._layout.layer(row.layer).is_dir():
                return row
        return None

    def _publish(self, connection: sqlite3.Connection, upper: Path, size: int) -> int:
        sql = "UPDATE counters SET value = value + 1 WHERE name = 'layer' RETURNING value"
        layer: int = connection.execute(sql).fetchone()[0]
        target = self._layout.layer(layer)
        with explained(target, size):
            if target.exists():  # left by a transaction that a kill or a power loss undid: we hold the write lock
                target.rename(self._session.fresh())
            upper.rename(target)
        return layer


def file_bytes(directory: Path) -> int:
    """The bytes of the regular files below a directory, each hard-linked file once."""
    found: dict[int, int] = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            info = os.lstat(os.path.join(parent, name))
            if stat.S_ISREG(info.st_mode):
                found[info.st_ino] = info.st_size
    return sum(found.values())


def _decode(found: tuple[Any, ...]) -> Row | None:
    """A row, or None if it is damaged."""
    *values, check = found
    row = Row(*values)
    return row if row.checksum() == check else None
