"""Mending an index that SQLite cannot read: what can still be read of it moves into a new one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from lamina.store.failures import busy, explained
from lamina.store.index import Index
from lamina.store.layout import FileLock, Layout

#: Rows of `snapshots` and `records` carry checksums; names of images are only names of content that is checked.
#: `blobs` is left out: a blob without a row is read before its first use.
_SALVAGED = ("images", "tags", "results", "layer_blobs", "builds", "snapshots", "records")


def rebuild_index(layout: Layout) -> dict[str, int]:
    """Set the index aside (`index.db.damaged-N`) and make a new one; returns how many rows of each table were saved.

    Saved layers are in doubt, as after a power loss: they are verified before their first use. The store must not be
    open. Raises BuildFailure (`store-busy` if it is).
    """
    with explained(layout.index):
        try:
            gate = FileLock(layout.locks / "alone", wait=False)
        except BlockingIOError as error:
            raise busy(layout.root) from error
        try:
            users = FileLock(layout.locks / "users", wait=False)
        except BlockingIOError as error:
            gate.close()
            raise busy(layout.root) from error
        try:
            old = _set_aside(layout.index)
            index = Index(layout.index)
            try:
                index.create()
                saved = {table: _salvage(old, index, table) for table in _SALVAGED}
                _doubt(layout, index)
                return saved
            finally:
                index.close()
        finally:
            users.close()
            gate.close()


def _set_aside(path: Path) -> Path:
    number = 0
    while (old := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{old}{suffix}")
    return old


def _salvage(old: Path, index: Index, table: str) -> int:
    """By the names of the columns that are there now too: the damaged index may be of an older version."""
    rows: list[tuple[Any, ...]] = []
    columns: list[str] = []
    known = {name for _, name, *_ in index.read(f"PRAGMA table_info({table})")}
    with suppress(sqlite3.Error), closing(sqlite3.connect(old)) as connection:
        found = connection.execute(f"SELECT * FROM {table}")
        kept = [at for at, column in enumerate(found.description) if column[0] in known]
        columns = [f'"{found.description[at][0]}"' for at in kept]
        for row in found:
            rows.append(tuple(row[at] for at in kept))  # noqa: PERF401 — what was read before the damage is kept
    saved = 0
    with index.write() as connection:
        for row in rows:
            with suppress(sqlite3.Error):
                sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES (?{', ?' * (len(columns) - 1)})"
                connection.execute(sql, row)
                saved += 1
    return saved


def _doubt(layout: Layout, index: Index) -> None:
    # No number that a directory has may be given out again.
    numbers = [int(path.name, 36) for path in layout.layers.iterdir() if path.name.isalnum()]
    with index.write() as connection:
        connection.execute("UPDATE snapshots SET boot = 'salvaged', synced = 0")
        connection.execute("UPDATE counters SET value = ? WHERE name = 'layer'", (max(numbers, default=0),))
