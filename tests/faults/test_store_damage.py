"""A damaged index or store: a clear error or a miss, never something wrong; and what a power loss may leave."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer, content_diff_id

from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID, digest_of
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.keys.looks import Look, Observations, SeenLayer
from lamina.ports.storing import Snapshot
from lamina.store import durability
from lamina.store.fsck import check, repair
from lamina.store.layout import open_layout
from lamina.store.observations import KeptObservations
from lamina.store.rebuild import rebuild_index
from lamina.store.store import Store

COUNT = 60


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A store with 60 steps whose index is wholly in `index.db`."""
    root = tmp_path / "store"
    with Store.open(root) as store:
        for number in range(COUNT):
            snapshot = add_layer(store, None, f"text {number}")
            store.records.add(a_record(f"step {number}", result=snapshot.chain_id))
        add_image(store, "app:1", snapshot.diff_id)
        store.index.checkpoint()
    return root


def wrong_or_right(root: Path) -> int:
    """How many steps are found; asserts that each is the right one."""
    found = 0
    with Store.open(root, verify=content_diff_id) as store:
        for number in range(COUNT):
            record = store.records.find(a_digest(f"step {number}"))
            if record is not None and record.result is not None:
                assert (store.snapshots.stack(record.result)[0] / "file").read_text() == f"text {number}"
                found += 1
    return found


@pytest.mark.parametrize("size", [0, 10, 4096, 20000, "half", "missing"])
def test_a_truncated_index_is_told_and_rebuilt(filled: Path, size: int | str) -> None:
    index = filled / "index.db"
    if size == "missing":
        index.unlink()
    else:
        os.truncate(index, index.stat().st_size // 2 if size == "half" else int(size))
    try:
        wrong_or_right(filled)
    except BuildFailure as failure:
        assert failure.diagnostic.reference == "store-index-damaged"
        assert failure.diagnostic.hint is not None
    else:
        pytest.fail("a truncated index was not noticed")
    rebuild_index(open_layout(filled))
    wrong_or_right(filled)
    with Store.open(filled) as store:
        snapshot = add_layer(store, None, "new work")
        store.records.add(a_record("new", result=snapshot.chain_id))
        assert store.records.find(a_digest("new")) is not None
    assert (filled / "index.db.damaged-0").exists()


def test_flipped_bytes_never_make_a_wrong_hit(filled: Path) -> None:
    index = filled / "index.db"
    good = index.read_bytes()
    chance = random.Random(11)
    outcomes: set[bool | str] = set()
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(chance.choice((1, 5, 200))):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        for leftover in filled.glob("index.db*"):
            leftover.unlink()
        index.write_bytes(bad)
        try:
            outcomes.add(wrong_or_right(filled) == COUNT)
        except BuildFailure as failure:
            assert failure.diagnostic.reference in ("store-index-damaged", "store-io", "store-snapshot-missing")
            outcomes.add("told")
    assert outcomes >= {True, False, "told"}


def test_rebuilding_keeps_what_can_be_read(filled: Path) -> None:
    saved = rebuild_index(open_layout(filled))
    assert saved["records"] == COUNT
    assert saved["tags"] == 1
    with Store.open(filled) as store:  # saved layers are in doubt, and nobody can verify them here
        assert store.records.find(a_digest("step 1")) is None
    assert wrong_or_right(filled) == COUNT
    with Store.open(filled) as store:
        assert store.images.get("app:1") is not None
        assert add_layer(store, None, "new").layer.name == "1p"  # 61 in base 36: no number is given out twice


def test_a_damaged_row_is_set_aside(filled: Path) -> None:
    with sqlite3.connect(filled / "index.db") as connection:
        connection.execute("UPDATE records SET data = substr(data, 1, 40) WHERE id = 3")
        connection.execute("UPDATE records SET data = 'text' WHERE id = 4")
        connection.execute("UPDATE snapshots SET layer = 9 WHERE layer = 5")
    connection.close()
    assert wrong_or_right(filled) == COUNT - 3
    with Store.open(filled) as store:
        assert len(store.records.all()) == COUNT - 2
        kinds = {(problem.kind, problem.serious) for problem in check(store)}
        assert ("index", True) in kinds and ("index", False) in kinds


# --- power loss ------------------------------------------------------------------------------------------------------
def lose_power(root: Path) -> None:
    """Make all rows be of an earlier boot."""
    with sqlite3.connect(root / "index.db") as connection:
        connection.execute("UPDATE snapshots SET boot = 'earlier'")
        connection.execute("UPDATE blobs SET boot = 'earlier'")
    connection.close()


def two_layers(root: Path) -> tuple[Snapshot, Snapshot]:
    with Store.open(root) as store:
        base = add_layer(store, None, "base", built=False)
        step = add_layer(store, base.chain_id, "step")
        store.records.add(a_record("k", parent=base.chain_id, result=step.chain_id))
        store.blobs.put(b"blob")
    return base, step


def test_a_layer_that_survived_a_power_loss_is_verified_once(tmp_path: Path) -> None:
    root = tmp_path / "store"
    _, step = two_layers(root)
    lose_power(root)
    calls = []

    def verify(layer: Path) -> str:
        calls.append(layer)
        return content_diff_id(layer)

    for _ in range(2):
        with Store.open(root, verify=verify) as store:  # type: ignore[arg-type]
            assert store.records.find(a_digest("k")) is not None
    assert calls == [step.layer]


def test_a_layer_that_a_power_loss_damaged_is_discarded_with_its_records(tmp_path: Path) -> None:
    root = tmp_path / "store"
    _, step = two_layers(root)
    (step.layer / "file").write_text("")
    lose_power(root)
    with Store.open(root) as store:  # without a way to verify: a miss, and nothing is deleted
        assert store.records.find(a_digest("k")) is None
        assert step.layer.is_dir()
    with Store.open(root, verify=content_diff_id) as store:
        assert store.records.find(a_digest("k")) is None
        assert not step.layer.exists()
        assert store.records.all() == []


def test_an_unpacked_layer_is_fetched_again_and_the_records_above_it_live_on(tmp_path: Path) -> None:
    root = tmp_path / "store"
    base, step = two_layers(root)
    lose_power(root)
    with Store.open(root, verify=content_diff_id) as store:
        assert store.snapshots.get(base.chain_id) is None
        with pytest.raises(BuildFailure) as caught:
            store.snapshots.stack(step.chain_id)
        assert caught.value.diagnostic.reference == "store-snapshot-missing"
        assert add_layer(store, None, "base", built=False).chain_id == base.chain_id
        assert store.records.find(a_digest("k")) is not None
        assert len(store.snapshots.stack(step.chain_id)) == 2


def test_what_was_synced_is_trusted_after_a_power_loss(tmp_path: Path) -> None:
    root = tmp_path / "store"
    two_layers(root)
    with Store.open(root) as store:
        process = store.settle()
        assert process is not None
    assert process.wait(30) == 0
    lose_power(root)
    with Store.open(root) as store:
        assert store.records.find(a_digest("k")) is not None
        assert store.settle() is None


def test_settling_in_this_process(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        add_layer(store, None, "x")
        store.blobs.put(b"y")
        assert durability.is_unsettled(store.index)
        assert durability.settle(store.layout, store.index, store.boot) == 2
        assert not durability.is_unsettled(store.index)


@pytest.mark.parametrize("content", [b"", b"blob", b"bl"])
def test_a_blob_that_a_power_loss_left_is_read_before_use(tmp_path: Path, content: bytes) -> None:
    root = tmp_path / "store"
    two_layers(root)
    lose_power(root)
    digest = digest_of(b"blob")
    with Store.open(root) as store:
        store.blobs.path(digest).write_bytes(content)
        assert store.blobs.has(digest) == (content == b"blob")
        assert store.blobs.put(b"blob") == digest
        assert store.blobs.read(digest) == b"blob"


def test_a_commit_replaces_a_layer_in_doubt(tmp_path: Path) -> None:
    root = tmp_path / "store"
    _, step = two_layers(root)
    shutil.rmtree(step.layer)
    lose_power(root)
    with Store.open(root) as store:
        again = add_layer(store, step.parent, "step") if store.snapshots.get(step.chain_id) else None
        assert again is None
        base = add_layer(store, None, "base", built=False)
        again = add_layer(store, base.chain_id, "step")
        assert again.layer != step.layer
        assert store.records.find(a_digest("k")) is not None


# --- fsck ------------------------------------------------------------------------------------------------------------
def test_fsck_finds_and_repair_discards(filled: Path) -> None:
    with Store.open(filled) as store:
        shutil.rmtree(store.layout.layer(1))
        (store.layout.layer(2) / "file").write_text("damaged")
        digest = store.blobs.put(b"some blob")
        store.blobs.path(digest).write_bytes(b"same size")
        problems = check(store, content_diff_id)
        assert sorted(problem.kind for problem in problems) == ["blob-damaged", "layer-damaged", "layer-missing"]
        repair(store, problems)
        assert check(store, content_diff_id) == ()
        assert not store.blobs.has(digest)
        # The records stay, for explanations, and lead nowhere.
        assert len(store.records.all()) == COUNT
        assert [store.records.find(a_digest(f"step {number}")) is None for number in range(3)] == [True, True, False]


def test_fsck_looks_without_touching(filled: Path) -> None:
    """A record's row with another content, or under another key; a layer's row; a layer that several chains share."""
    with sqlite3.connect(filled / "index.db") as connection:
        connection.execute("UPDATE records SET data = substr(data, 1, 40) WHERE id = 3")
        connection.execute("UPDATE records SET key = (SELECT key FROM records WHERE id = 5) WHERE id = 4")
        connection.execute("UPDATE snapshots SET size = size + 1 WHERE layer = 9")
    connection.close()
    with Store.open(filled) as store:
        twin = store.snapshots.adopt(store.snapshots.rows()[0].chain, content_diff_id(store.layout.layer(7)))
        assert twin is not None
        (store.layout.layer(7) / "file").write_text("damaged")
        read: list[Path] = []

        def verify(layer: Path) -> DiffID:
            read.append(layer)
            return content_diff_id(layer)

        problems = check(store, verify)
        assert len(read) == len(set(read)) == COUNT - 1
        assert check(store, verify) == problems
        kinds = [problem.kind for problem in problems]
        assert kinds == ["index", "layer-damaged", "layer-damaged", "record-damaged", "record-damaged"]
        assert {problem.subject for problem in problems if problem.kind == "record-damaged"} == {"3", "4"}
        repair(store, problems)
        assert check(store, verify) == ()
        assert len(store.records.all()) == COUNT - 2
    assert wrong_or_right(filled) == COUNT - 4


def test_fsck_recomputes_lists_of_files(tmp_path: Path) -> None:
    base = tuple(FileRecord(f"{number:04}", "file", 0o644, 1, f"{number:064x}") for number in range(3000))
    other = (*base[:-1], FileRecord("zzz", "link", 0o777, target="x", uid=7))
    with Store.open(tmp_path / "store") as store:
        digests = [tree_digest(base), tree_digest(other, owners=True), tree_digest(base[:5])]
        store.facts.put(digests[0], base)
        store.facts.put(digests[1], other, like=digests[0])
        store.facts.put(digests[2], base[:5])
        assert store.facts.needs(digests[1]) == digests[0]
        assert check(store) == ()
        whole, difference, small = (store.layout.facts / digest[7:] for digest in digests)
        good = whole.read_bytes()

        small.write_bytes(good)  # a sound list under the name of another
        assert found(store) == {small.name}
        difference_bytes = difference.read_bytes()
        for place in (0, 20, len(difference_bytes) - 1):
            difference.write_bytes(flipped(difference_bytes, place))
            assert found(store) == {small.name, difference.name}
        difference.write_bytes(difference_bytes)
        whole.write_bytes(flipped(good, len(good) // 2))
        assert found(store) == {small.name, difference.name, whole.name}
        whole.write_bytes(good[:-9])
        problems = check(store)
        assert {problem.subject for problem in problems} == {small.name, difference.name, whole.name}
        assert whole.exists()  # looking changes nothing
        repair(store, problems)
        assert check(store) == ()
        assert not whole.exists()
        store.facts.put(digests[0], base)
        assert store.facts.get(digests[0]) == base


def found(store: Store) -> set[str]:
    problems = check(store)
    assert {problem.kind for problem in problems} == {"facts-damaged"}
    return {problem.subject for problem in problems}


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]


def test_fsck_recomputes_what_steps_looked_at(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        assert check(store) == ()
        kept = KeptObservations(store.layout, store.session)
        digest = kept.put(Observations((SeenLayer((Look("app.py", "read"),), bytes(16), 1),)))
        assert check(store) == ()
        file = store.layout.looks / digest[7:]
        file.write_bytes(flipped(file.read_bytes(), 9))
        problems = check(store)
        assert [(problem.kind, problem.subject) for problem in problems] == [("looks-damaged", file.name)]
        repair(store, problems)
        assert check(store) == ()
        assert kept.get(digest) is None


def test_an_image_without_all_its_parts_answers_no_build(filled: Path) -> None:
    with Store.open(filled) as store:
        image = store.images.resolve("app:1")
        store.images.remember_key(a_digest("final"), image.id)
        nameless = add_image(store, None, *(row.diff_id for row in store.snapshots.rows() if row.layer == 1))
        assert check(store) == ()
        for layer in (1, COUNT):
            shutil.rmtree(store.layout.layer(layer))
        problems = check(store)
        assert [(problem.kind, problem.serious) for problem in problems if "image" in problem.kind] == [
            ("image-incomplete", True),
            ("image-incomplete", False),
        ]
        repair(store, problems)
        assert store.images.by_key(a_digest("final")) is None
        assert [each.id for each in store.images.list()] == [image.id]
        assert nameless.id != image.id
        (left,) = check(store)
        assert (left.kind, left.subject, left.serious) == ("image-incomplete", image.id, True)
        add_layer(store, None, f"text {COUNT - 1}")
        assert check(store) == ()


def test_a_stray_file_among_the_blobs_is_nobodys_business(filled: Path) -> None:
    with Store.open(filled) as store:
        (store.layout.blobs / "README").write_text("not a blob")
        (store.layout.facts / "README").write_text("not a list")
        assert check(store) == ()
