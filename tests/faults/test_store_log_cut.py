"""The index's log, cut at every length: the store opens with or without the last commit, or says that it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer

from lamina.diagnostics import BuildFailure
from lamina.store.store import Store

#: https://www.sqlite.org/fileformat.html, "The WAL File": a header of 32 bytes, then frames of 24 bytes and a page.
HEADER, FRAME = 32, 24 + 4096


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, bytes, bytes]:
    """A store with `before` in its index and one transaction in the log: the index's bytes and the log's."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        snapshot = add_layer(store, None, "before")
        store.records.add(a_record("before", result=snapshot.chain_id))
        image = add_image(store, "app", snapshot.diff_id)
        after = add_layer(store, None, "after")
        store.images.remember_key(a_digest("before"), image.id)
        store.index.checkpoint()
        store.records.add(a_record("after", result=after.chain_id))
        index, log = root / "index.db", root / "index.db-wal"
        return root, index.read_bytes(), log.read_bytes()


def found(root: Path) -> tuple[bool, bool]:
    """Whether `before` and `after` are hits; what is found is right."""
    with Store.open(root) as store:
        hits = []
        for name in ("before", "after"):
            record = store.records.find(a_digest(name))
            if record is not None and record.result is not None:
                assert record.key.digest == a_digest(name)
                assert (store.snapshots.stack(record.result)[0] / "file").read_text() == name
            hits.append(record is not None)
        return hits[0], hits[1]


def outcome(root: Path, index: bytes, log: bytes) -> tuple[bool, bool] | str:
    for leftover in root.glob("index.db*"):
        leftover.unlink()
    (root / "index.db").write_bytes(index)
    (root / "index.db-wal").write_bytes(log)
    try:
        return found(root)
    except BuildFailure as failure:
        return failure.diagnostic.reference


def lengths(whole: int) -> list[int]:
    """Every byte around each boundary, and every 61st between."""
    edges = {0, HEADER, whole, *(HEADER + number * FRAME for number in range(whole // FRAME + 1))}
    near = {edge + step for edge in edges for step in range(-2, 27)}
    return sorted(length for length in near | set(range(0, whole, 61)) if 0 <= length <= whole)


def test_cut_at_every_length(parts: tuple[Path, bytes, bytes]) -> None:
    root, index, log = parts
    outcomes = {length: outcome(root, index, log[:length]) for length in lengths(len(log))}
    assert outcomes[len(log)] == (True, True)
    assert set(outcomes.values()) == {(True, False), (True, True)}
    # The last commit is there with its last byte, and not before.
    assert {length for length, one in outcomes.items() if one == (True, True)} == {len(log)}


def test_a_damaged_log_never_gives_a_wrong_hit(parts: tuple[Path, bytes, bytes]) -> None:
    root, index, log = parts
    for position in range(0, len(log), 211):
        bad = bytearray(log)
        bad[position] ^= 0xFF
        assert outcome(root, index, bytes(bad)) in ((True, False), (True, True), "store-index-damaged")


def test_the_index_itself_cut_at_many_lengths(parts: tuple[Path, bytes, bytes]) -> None:
    root, index, log = parts
    for length in sorted({*range(0, len(index), 2039), *range(0, 120, 7), *range(0, len(index), 4096)}):
        for rest in (b"", log):
            told = outcome(root, index[:length], rest)
            assert told == "store-index-damaged" or isinstance(told, tuple)  # and what was found is right


def test_a_log_of_another_index_is_not_used(parts: tuple[Path, bytes, bytes], tmp_path: Path) -> None:
    root, index, _ = parts
    with Store.open(tmp_path / "other") as store:
        snapshot = add_layer(store, None, "other")
        store.index.checkpoint()
        store.records.add(a_record("before", result=snapshot.chain_id))
        foreign = (tmp_path / "other" / "index.db-wal").read_bytes()
    assert outcome(root, index, foreign) in ("store-index-damaged", (True, False), (False, False))


def test_no_clock_makes_a_wrong_hit_or_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records from the future, after the clock was put back, and another time zone."""
    import time

    from lamina.store import gc

    root = tmp_path / "store"
    real = time.time
    for zone, shift in (("Pacific/Kiritimati", 10 * 365 * 86_400.0), ("America/Adak", -20 * 365 * 86_400.0), ("", 0.0)):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        with Store.open(root) as store:
            snapshot = add_layer(store, None, f"layer {shift}")
            store.records.add(a_record(f"step {shift}", result=snapshot.chain_id))
            assert store.records.find(a_digest(f"step {shift}")) is not None
            size = store.limit.taken().total
        with Store.open(root, max_size=size + 10_000) as store:
            store.limit.make_room(1)
            told = gc.prune(store, gc.Wanted(older_than=time.time() - 5), dry_run=True)
            gc.prune(store, gc.Wanted(max_size=size))
            assert all(step.value >= 0 for step in told.steps)
            for record in (one for _, _, one in store.records.all()):
                found = store.records.find(record.key.digest)
                assert found is not None and found.result is not None
                text = (store.snapshots.stack(found.result)[0] / "file").read_text()
                assert a_digest(text.replace("layer", "step")) == found.key.digest
    monkeypatch.undo()
    time.tzset()
