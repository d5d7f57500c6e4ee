"""Deleting what nothing reaches: rows before the directories and files that they name, so that a kill in between leaves
garbage and no holes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from lamina.digest import Digest
from lamina.store.failures import explained
from lamina.store.mark import Marks
from lamina.store.parts import Parts
from lamina.store.snapshots import Row


class Lost(Struct, frozen=True):
    """What no mark keeps: numbers of layers, rows of chains; blobs, lists of files and observations with their bytes on
    the disk."""

    layers: tuple[int, ...]
    rows: tuple[Row, ...]
    blobs: dict[Digest, int]
    facts: dict[Digest, int]
    looks: dict[Digest, int]


def find_lost(store: Parts, marks: Marks, facts: Collection[Digest] | None = None) -> Lost:
    """What these marks do not keep; of the lists of files and observations only those in `facts`, if given.

    Raises BuildFailure.
    """
    rows = store.snapshots.rows()
    kept = {row.layer for row in rows if row.chain in marks.chains}
    return Lost(
        layers=tuple(sorted({row.layer for row in rows} - kept)),
        rows=tuple(row for row in rows if row.chain not in marks.chains),
        blobs={digest: size for digest, size in files_of(store.layout.blobs) if digest not in marks.blobs},
        facts=_unmarked(store.layout.facts, marks.facts, facts),
        looks=_unmarked(store.layout.looks, marks.looks, facts),
    )


def _unmarked(directory: Path, marked: Collection[Digest], among: Collection[Digest] | None) -> dict[Digest, int]:
    return {
        digest: size
        for digest, size in files_of(directory)
        if digest not in marked and (among is None or digest in among)
    }


def delete_rows(store: Parts, lost: Lost, records: Collection[int]) -> tuple[int, ...]:
    """In one transaction; returns the layers whose directories may go now, for nothing names them any more."""
    with store.index.write() as connection:
        connection.executemany("DELETE FROM records WHERE id = ?", [(number,) for number in records])
        connection.executemany("DELETE FROM layer_blobs WHERE digest = ?", [(digest,) for digest in lost.blobs])
        gone = set(lost.layers)
        connection.executemany(
            "DELETE FROM snapshots WHERE chain = ?", [(row.chain,) for row in lost.rows if row.layer not in gone]
        )
        chains = {row.chain for row in lost.rows}
        # One that was put above another parent since they were listed stays.
        alive = {
            layer
            for layer in gone
            for (chain,) in connection.execute("SELECT chain FROM snapshots WHERE layer = ?", (layer,))
            if chain not in chains
        }
        connection.executemany(
            "DELETE FROM snapshots WHERE chain = ?", [(row.chain,) for row in lost.rows if row.layer in alive]
        )
        free = tuple(sorted(gone - alive))
        store.snapshots.forget(connection, free)
    return free


def delete_files(store: Parts, lost: Lost, layers: Collection[int]) -> None:
    """What the rows named. Raises BuildFailure."""
    for layer in layers:
        store.session.discard(store.layout.layer(layer))
    for digest in lost.blobs:
        store.blobs.delete(digest)
    for digest in lost.facts:
        store.facts.delete(digest)
    for digest in lost.looks:
        store.observations.delete(digest)


def blobs_of_layers(store: Parts, held: Marks) -> dict[str, dict[Digest, int]]:
    """Diff ID → the compressed blobs of that layer with their bytes on the disk, but for those that are marked."""
    sizes = dict(files_of(store.layout.blobs))
    found: dict[str, dict[Digest, int]] = {}
    for diff_id, digest in store.index.read("SELECT diff_id, digest FROM layer_blobs"):
        if digest in sizes and digest not in held.blobs:
            found.setdefault(diff_id, {})[digest] = sizes[digest]
    return found


def files_of(directory: Path) -> Iterator[tuple[Digest, int]]:
    """The files of a directory whose names are digests, with their bytes on the disk; none if it is not there."""
    if not directory.exists():
        return
    with explained(directory), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield Digest("sha256:" + entry.name), entry.stat(follow_symlinks=False).st_blocks * 512
