"""Checking a whole store: every blob read, every layer looked at, every record followed. And mending its index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.store.blobs import file_digest
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.snapshots import Verify
from lamina.store.store import Store

ProblemKind = Literal[
    "index", "blob-damaged", "layer-missing", "layer-damaged", "parent-missing", "result-missing", "image-incomplete"
]


class Problem(Struct, frozen=True):
    """One finding: what is concerned (a digest, chain ID or name) and what is wrong with it. `serious` is False for
    what costs work alone, such as a record whose layer is gone."""

    kind: ProblemKind
    subject: str
    detail: str
    serious: bool = True


def check(store: Store, verify: Verify | None = None) -> tuple[Problem, ...]:
    """All problems of a store; `verify` also reads every layer that lamina built. Changes nothing.

    Raises BuildFailure if the index cannot be read at all.
    """
    return (
        *_check_index(store.index),
        *_check_blobs(store),
        *_check_layers(store, verify),
        *_check_records(store),
        *_check_images(store),
    )


def repair(store: Store, problems: tuple[Problem, ...]) -> None:
    """Discard what `check` found damaged: afterwards it is missing, and built or fetched again when needed."""
    for problem in problems:
        if problem.kind == "blob-damaged":
            store.blobs.delete(Digest(problem.subject))
        elif problem.kind in ("layer-damaged", "layer-missing"):
            for (layer,) in store.index.read("SELECT layer FROM snapshots WHERE chain = ?", problem.subject):
                store.snapshots.discard_layer(layer, records=True)
    with store.index.write() as connection:
        connection.execute(
            "DELETE FROM records WHERE result IS NOT NULL AND result NOT IN (SELECT chain FROM snapshots)"
        )


def _check_index(index: Index) -> Iterator[Problem]:
    for (line,) in index.read("PRAGMA quick_check"):
        if line != "ok":
            yield Problem("index", index.path.name, line)
    for (count,) in index.read("SELECT count(*) FROM damaged_records"):
        if count:
            yield Problem("index", index.path.name, f"{count} damaged cache records were set aside", serious=False)


def _check_blobs(store: Store) -> Iterator[Problem]:
    with explained(store.layout.blobs):
        for path in sorted(store.layout.blobs.iterdir()):
            with suppress(FileNotFoundError):
                found = file_digest(path)
                if found != "sha256:" + path.name:
                    yield Problem("blob-damaged", "sha256:" + path.name, f"its content is {found}")


def _check_layers(store: Store, verify: Verify | None) -> Iterator[Problem]:
    rows = store.snapshots.rows()
    chains = {row.chain for row in rows}
    (total,) = store.index.read("SELECT count(*) FROM snapshots")[0]
    if total != len(rows):
        yield Problem("index", store.index.path.name, f"{total - len(rows)} rows of layers are damaged")
    for row in rows:
        directory = store.layout.layer(row.layer)
        if not directory.is_dir():
            yield Problem("layer-missing", row.chain, f"no directory {directory.name}")
        elif verify is not None and row.built:
            found = _verified(directory, verify)
            if found != row.diff_id:
                yield Problem("layer-damaged", row.chain, f"expected {row.diff_id}, found {found}")
        if row.parent is not None and row.parent not in chains:
            yield Problem("parent-missing", row.chain, f"no layer for {row.parent}", serious=False)


def _verified(directory: Path, verify: Verify) -> str:
    try:
        return verify(directory)
    except (OSError, ValueError, BuildFailure) as error:
        return str(error)


def _check_records(store: Store) -> Iterator[Problem]:
    chains = {row.chain for row in store.snapshots.rows()}
    for _, _, record in store.records.all():
        if record.result is not None and record.result not in chains:
            yield Problem("result-missing", record.key.digest, f"no layer for {record.address}", serious=False)


def _check_images(store: Store) -> Iterator[Problem]:
    for image in store.images.list():
        name = image.names[0] if image.names else image.id
        for digest in (image.id, image.manifest):
            if digest is not None and not store.blobs.path(digest).exists():
                yield Problem("image-incomplete", name, f"no blob {digest}")
