"""kill -9 anywhere: the store works afterwards and has lost nothing that was committed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer, content_diff_id

from lamina.digest import ChainID, DiffID, chain_id
from lamina.oci.descriptor import Descriptor
from lamina.ports.storing import Snapshot
from lamina.store import gc
from lamina.store.fsck import check
from lamina.store.store import Store
from lamina.testing.crash import killed_at

STORE_CODE = "/lamina/store/"


def one_step(store: Store, parent: ChainID | None, name: str) -> Snapshot:
    """What a step and an image leave: layer, record, blob, tag."""
    snapshot = add_layer(store, parent, name)
    store.records.add(a_record(name, parent=parent, result=snapshot.chain_id))
    digest = store.blobs.put(f"compressed {name}".encode())
    store.layer_blobs.add(snapshot.diff_id, "gzip", Descriptor("application/x", digest, 5))
    below = [DiffID(parent)] if parent is not None else []  # the lowest layer's chain ID is its diff ID
    add_image(store, "app", *below, snapshot.diff_id)
    return snapshot


def assert_sound(root: Path) -> None:
    """The store opens, has no problems, no leftovers, and every record that is found has its whole layer."""
    with Store.open(root) as store:
        assert list(store.layout.tmp.iterdir()) == []
        assert check(store, content_diff_id) == ()
        for _, _, record in store.records.all():
            found = store.records.find(record.key.digest)
            assert found is not None and found.result is not None
            layer = store.snapshots.stack(found.result)[0]
            assert (layer / "file").read_text() == {a_digest(n): n for n in ("base", "next")}[found.key.digest]
        for image in store.images.list():
            assert store.blobs.has(image.id)


def base(root: Path) -> Snapshot:
    with Store.open(root) as store:
        return one_step(store, None, "base")


def assert_base_is_there(root: Path) -> None:
    with Store.open(root) as store:
        record = store.records.find(a_digest("base"))
        assert record is not None and record.result is not None
        assert (store.snapshots.stack(record.result)[0] / "file").read_text() == "base"
        assert store.images.get("app") is not None


@pytest.mark.parametrize("part", range(4))
def test_killed_at_any_line_of_a_step(tmp_path: Path, part: int) -> None:
    root = tmp_path / "store"
    parent = base(root).chain_id

    def action() -> None:
        with Store.open(root) as store:
            one_step(store, parent, "next")

    points = 0
    line = part + 1
    while killed_at(line, STORE_CODE, action):
        points += 1
        line += 4 * 6
        assert_base_is_there(root)
        assert_sound(root)
        with Store.open(root) as store:  # so that each point meets a store without the step
            store.index.read("DELETE FROM records WHERE key = ?", a_digest("next"))
            add_image(store, "app", DiffID(parent))
            gc.prune(store)
            assert sorted(path.name for path in store.layout.layers.iterdir()) == ["1"]
    assert points > 15
    with Store.open(root) as store:
        assert store.records.find(a_digest("next")) is not None
    assert_sound(root)


def test_killed_while_the_store_is_made(tmp_path: Path) -> None:
    points = 0
    line = 1
    while True:
        root = tmp_path / f"store{line}"

        def action(root: Path = root) -> None:
            Store.open(root).close()

        if not killed_at(line, STORE_CODE, action):
            break
        one_step_base = base(root)
        assert one_step_base.chain_id is not None
        assert_sound(root)
        points += 1
        line += 13
    assert points > 8


def test_killed_at_any_line_of_garbage_collection(tmp_path: Path) -> None:
    root = tmp_path / "store"
    parent = base(root).chain_id

    def action() -> None:
        with Store.open(root) as store:
            gc.prune(store, gc.Wanted(older_than=time.time() + 10))

    points = 0
    line = 20
    while True:
        with Store.open(root) as store:
            one_step(store, parent, "next")
            store.images.untag("app")
            add_image(store, "app", DiffID(parent))
        if not killed_at(line, STORE_CODE, action):
            break
        with Store.open(root) as store:
            assert (store.snapshots.stack(parent)[0] / "file").read_text() == "base"
            image = store.images.get("app")
            assert image is not None and store.blobs.has(image.id)
            assert list(store.layer_blobs.all(DiffID(parent))) == ["gzip"]
            assert [problem for problem in check(store, content_diff_id) if problem.serious] == []
        points += 1
        line += 97
    assert points > 5
    with Store.open(root) as store:
        gc.prune(store)
        assert [path.name for path in store.layout.layers.iterdir()] == ["1"]
        assert len(list(store.layout.blobs.iterdir())) == 2


WRITER = """
import sys
from pathlib import Path
from tests.support.store_making import a_record, add_layer
from lamina.store.store import Store
start = int(sys.argv[2])
with Store.open(Path(sys.argv[1])) as store:
    parent = None
    for number in range(start, start + 100000):
        snapshot = add_layer(store, parent, f"text {number}")
        store.records.add(a_record(f"step {number}", result=snapshot.chain_id))
        parent = snapshot.chain_id if number % 20 else None
        print(number, flush=True)
"""


def test_killed_at_random_moments_nothing_committed_is_lost(tmp_path: Path) -> None:
    root = tmp_path / "store"
    committed: list[int] = []
    chance = random.Random(7)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for turn in range(5):
        start = turn * 100000
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, root, str(start)], stdout=subprocess.PIPE, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            committed += [int(child.stdout.readline()) for _ in range(chance.randrange(5, 60))]
            child.send_signal(signal.SIGKILL)
            committed += [int(line) for line in child.stdout if line.endswith("\n")]
        with Store.open(root) as store:
            assert list(store.layout.tmp.iterdir()) == []
            for number in committed:
                record = store.records.find(a_digest(f"step {number}"))
                assert record is not None and record.result is not None
                layer = store.snapshots.stack(record.result)[0]
                assert (layer / "file").read_text() == f"text {number}"
    assert len(committed) > 20
    with Store.open(root) as store:
        assert check(store, content_diff_id) == ()


def test_a_kill_between_rename_and_commit_leaves_a_number_that_can_be_used(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store.open(root) as store:
        orphan = store.layout.layer(1)
        orphan.mkdir()
        (orphan / "file").write_text("orphan")
        snapshot = add_layer(store, None, "mine")
        assert snapshot.layer == orphan
        assert (snapshot.layer / "file").read_text() == "mine"
        assert snapshot.chain_id == chain_id(None, snapshot.diff_id)
