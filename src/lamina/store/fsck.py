"""Checking a whole store: every blob read, every layer looked at, every list of files recomputed, every row followed.

`check` changes nothing; `repair` takes away what it found damaged. What is gone is a miss, and built or fetched again:
nothing damaged is ever served. The records of a layer that goes stay, so that an explanation can say that it went.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, DiffID, Digest, chain_id
from lamina.keys.record import CacheRecord
from lamina.oci.config import decode_config
from lamina.store.blobs import file_digest
from lamina.store.codec import decode
from lamina.store.factcheck import check_facts, check_looks, is_hex
from lamina.store.failures import explained
from lamina.store.images import Image
from lamina.store.index import Index
from lamina.store.snapshots import Row, Verify
from lamina.store.store import Store

ProblemKind = Literal[
    "index",
    "blob-damaged",
    "layer-missing",
    "layer-damaged",
    "parent-missing",
    "record-damaged",
    "facts-damaged",
    "looks-damaged",
    "image-incomplete",
]


class Problem(Struct, frozen=True):
    """One finding: what is concerned (a digest, chain ID, file name, or the number of a row) and what is wrong with it.
    `serious` is False for what is no damage to the disk's content, such as a layer whose parent is gone."""

    kind: ProblemKind
    subject: str
    detail: str
    serious: bool = True


def check(store: Store, verify: Verify | None = None) -> tuple[Problem, ...]:
    """All problems of a store; `verify` also reads every layer that lamina built. Changes nothing.

    Raises BuildFailure if the index cannot be read at all.
    """
    rows = store.snapshots.rows()
    return (
        *_check_index(store, len(rows)),
        *_check_blobs(store),
        *_check_layers(store, rows, verify),
        *_check_records(store),
        *_check_facts(store),
        *_check_images(store, rows),
    )


def is_sound(index: Index) -> bool:
    """Whether SQLite finds nothing wrong with the file. Raises BuildFailure `store-index-damaged` where it cannot even
    look; then, as for False, `rebuild.rebuild_index` mends it."""
    return index.read("PRAGMA quick_check") == [("ok",)]


def repair(store: Store, problems: tuple[Problem, ...]) -> None:
    """Take away what `check` found damaged. Raises BuildFailure, `store-busy` if other processes use the store."""
    with store.alone():
        for problem in problems:
            match problem.kind:
                case "blob-damaged":
                    store.blobs.delete(Digest(problem.subject))
                case "layer-damaged" | "layer-missing":
                    for (layer,) in store.index.read("SELECT layer FROM snapshots WHERE chain = ?", problem.subject):
                        store.snapshots.discard_layer(layer, records=False)
                case "facts-damaged":
                    store.facts.delete(Digest("sha256:" + problem.subject))
                case "looks-damaged":
                    (store.layout.looks / problem.subject).unlink(missing_ok=True)
        _delete_rows(store, {problem.subject for problem in problems if problem.kind == "record-damaged"})
        for problem in _check_images(store, store.snapshots.rows()):  # also those that became so just now
            _forget_image(store, problem.subject)


def _forget_image(store: Store, image: str) -> None:
    """A name stays, so that nobody takes another image for it; but no build is answered with this one any more."""
    with store.index.write() as connection:
        connection.execute("DELETE FROM results WHERE image = ?", (image,))
        connection.execute("DELETE FROM images WHERE id = ? AND id NOT IN (SELECT image FROM tags)", (image,))


def _delete_rows(store: Store, records: set[str]) -> None:
    """Damaged rows, of records those that are named. The directory of a damaged layer row goes with the garbage."""
    sound = [(row.chain,) for row in store.snapshots.rows()]
    with store.index.write() as connection:
        connection.execute("DELETE FROM damaged_records")
        connection.executemany("DELETE FROM records WHERE id = ?", [(int(number),) for number in records])
        connection.execute("CREATE TEMP TABLE sound (chain TEXT PRIMARY KEY) WITHOUT ROWID")
        connection.executemany("INSERT INTO sound VALUES (?)", sound)
        connection.execute("DELETE FROM snapshots WHERE chain NOT IN (SELECT chain FROM sound)")
        connection.execute("DROP TABLE sound")


# --- one kind each ---------------------------------------------------------------------------------------------------
def _check_index(store: Store, sound_rows: int) -> Iterator[Problem]:
    index = store.index
    for (line,) in index.read("PRAGMA quick_check"):
        if line != "ok":
            yield Problem("index", index.path.name, line)
    (total,) = index.read("SELECT count(*) FROM snapshots")[0]
    if total != sound_rows:
        yield Problem("index", index.path.name, f"{total - sound_rows} rows of layers are damaged")
    for (count,) in index.read("SELECT count(*) FROM damaged_records"):
        if count:
            yield Problem("index", index.path.name, f"{count} damaged cache records were set aside", serious=False)


def _check_blobs(store: Store) -> Iterator[Problem]:
    with explained(store.layout.blobs):
        names = sorted(path.name for path in store.layout.blobs.iterdir() if is_hex(path.name))
    for name in names:
        try:
            found = file_digest(store.layout.blobs / name)
        except FileNotFoundError:
            continue  # another process deleted it meanwhile
        except OSError as error:
            yield Problem("blob-damaged", "sha256:" + name, f"it cannot be read: {error.strerror}")
            continue
        if found != "sha256:" + name:
            yield Problem("blob-damaged", "sha256:" + name, f"its content is {found}")


def _check_layers(store: Store, rows: list[Row], verify: Verify | None) -> Iterator[Problem]:
    chains = {row.chain for row in rows}
    found: dict[int, str] = {}  # equal layers share a directory, which is read once
    for row in rows:
        directory = store.layout.layer(row.layer)
        problem = None
        if not directory.is_dir():
            problem = Problem("layer-missing", row.chain, f"no directory {directory.name}")
        elif verify is not None and row.built:
            if row.layer not in found:
                found[row.layer] = _verified(directory, verify)
            if found[row.layer] != row.diff_id:
                problem = Problem("layer-damaged", row.chain, f"expected {row.diff_id}, found {found[row.layer]}")
        if problem is not None and _is_there(store, row):
            yield problem
        if row.parent is not None and row.parent not in chains:
            yield Problem("parent-missing", row.chain, f"no layer for {row.parent}", serious=False)


def _is_there(store: Store, row: Row) -> bool:
    """Whether a row is still there: another process may have deleted the layer while it was read."""
    return bool(store.index.read("SELECT 1 FROM snapshots WHERE chain = ? AND layer = ?", row.chain, row.layer))


def _verified(directory: Path, verify: Verify) -> str:
    try:
        return verify(directory)
    except (OSError, ValueError, BuildFailure) as error:
        return str(error)


def _check_records(store: Store) -> Iterator[Problem]:
    """Each row's checksum, and that its columns, by which it is found, say what the record says."""
    # As bytes, whatever they are now: text that is no UTF-8 would end the whole look.
    columns = 'id, key, content_key, result, CAST(data AS BLOB), "check"'
    for (number,) in store.index.read("SELECT id FROM records ORDER BY id"):
        for row in store.index.read(f"SELECT {columns} FROM records WHERE id = ?", number):
            problem = _record_problem(*row[1:])
            if problem:
                yield Problem("record-damaged", str(number), problem)


def _record_problem(key: str, content_key: str, result: str | None, data: bytes, checksum: int) -> str:
    try:
        if zlib.crc32(data) != checksum:
            return "the row is not what its checksum says"
        record = decode(data, CacheRecord)
    except (ValueError, TypeError) as error:
        return f"the row cannot be read: {error}"
    if (key, content_key, result) != (record.key.digest, record.content_key, record.result):
        return f"the row stands under other keys than its record: {record.text}"
    return ""


def _check_facts(store: Store) -> Iterator[Problem]:
    for name, detail in check_facts(store.layout.facts):
        yield Problem("facts-damaged", name, detail)
    for name, detail in check_looks(store.layout.looks):
        yield Problem("looks-damaged", name, detail)


def _check_images(store: Store, rows: list[Row]) -> Iterator[Problem]:
    layers = {row.chain for row in rows if store.layout.layer(row.layer).is_dir()}
    images = store.images.list()
    blobs = store.index.read("SELECT diff_id, digest FROM layer_blobs")
    packed = {diff_id for diff_id, digest in blobs if store.blobs.path(digest).exists()}
    # Bases that were never fetched, because all that stands on them is metadata or was pushed without their files.
    away = {diff_id for image in images if image.manifest and image.names for diff_id in _diff_ids(store, image)}
    for image in images:
        missing = _missing(store, image, layers, packed, away)
        if missing:
            name = image.names[0] if image.names else "without a name"
            # Nobody asks for an image without a name; what replaced it is another one.
            yield Problem("image-incomplete", image.id, f"{name}: {missing}", serious=bool(image.names))


def _missing(store: Store, image: Image, layers: set[ChainID], packed: set[str], away: set[DiffID]) -> str:
    """What an image lacks. Layers that are there as blobs are unpacked when they are needed (`packed` are those of all
    images), and those of an image with a manifest are fetched then (`away` are those of all such images)."""
    for digest in (image.id, image.manifest):
        if digest is not None and not store.blobs.path(digest).exists():
            return f"no blob {digest}"
    if image.manifest is not None:
        return ""
    chain: ChainID | None = None
    for diff_id in _diff_ids(store, image):
        chain = chain_id(chain, diff_id)
        if chain not in layers and diff_id not in away and diff_id not in packed:
            return f"no layer for {chain}"
    return ""


def _diff_ids(store: Store, image: Image) -> tuple[DiffID, ...]:
    with suppress(OSError, ValueError, BuildFailure):  # a damaged configuration is a damaged blob
        return decode_config(store.blobs.path(image.id).read_bytes()).rootfs.diff_ids
    return ()
