"""Several processes on one store at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_layer, content_diff_id
from tests.support.waiting import PATIENCE

from lamina.diagnostics import BuildFailure
from lamina.store import gc
from lamina.store.fsck import check
from lamina.store.store import Store

RACER = """
import sys, time
from pathlib import Path
from tests.support.store_making import a_record, add_image, add_layer
from lamina.store.store import Store
root, name, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
time.sleep(max(0, start - time.time()))
with Store.open(root) as store:
    for number in range(150):
        same = add_layer(store, None, f"same {number}")
        mine = add_layer(store, same.chain_id, f"{name} {number}")
        also = add_layer(store, mine.chain_id, f"twin {number}")
        for snapshot in (same, mine, also):
            assert snapshot.layer.is_dir(), snapshot
        store.records.add(a_record(f"{name} {number}", result=mine.chain_id))
        store.blobs.put(b"blob %d" % number)
        add_image(store, f"app:{name}", same.diff_id, mine.diff_id)
        add_image(store, "app:shared", same.diff_id, mine.diff_id)
"""

COUNTER = """
import sys
from pathlib import Path
from lamina.store.store import Store
with Store.open(Path(sys.argv[1])) as store:
    file = Path(sys.argv[2])
    for _ in range(150):
        with store.locks.hold("step"):
            value = int(file.read_text())
            file.write_text(str(value + 1))
"""

HOLDER = """
import sys, time
from pathlib import Path
from lamina.store.store import Store
with Store.open(Path(sys.argv[1])) as store, store.locks.hold("step"), store.snapshots.begin(None) as work:
    (work.upper / "big").write_text("x")
    print("held", flush=True)
    time.sleep(6000)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def run_all(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


def test_two_processes_commit_the_same_and_different_things(tmp_path: Path) -> None:
    root = tmp_path / "store"  # made by whoever comes first
    run_all([start(RACER, root, name, time.time() + 0.5) for name in ("one", "two")])
    with Store.open(root) as store:
        assert check(store, content_diff_id) == ()
        # Of 150 rounds: one directory for `same`, one a process for its own, one for the two chains ending in `twin`.
        assert len(list(store.layout.layers.iterdir())) == 150 * 4
        assert len(store.snapshots.rows()) == 150 * 5
        for name in ("one", "two"):
            for number in range(150):
                record = store.records.find(a_digest(f"{name} {number}"))
                assert record is not None and record.result is not None
                layers = store.snapshots.stack(record.result)
                assert [(layer / "file").read_text() for layer in layers] == [f"{name} {number}", f"same {number}"]
        assert list(store.layout.tmp.iterdir()) == []


def test_a_lock_excludes_processes(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("0")
    run_all([start(COUNTER, tmp_path / "store", file) for _ in range(3)])
    assert file.read_text() == "450"
    assert [path.name for path in (tmp_path / "store" / "locks").iterdir() if path.name.startswith("name-")] == []


def test_a_dead_holder_frees_its_lock_and_its_workspace_goes(tmp_path: Path) -> None:
    root = tmp_path / "store"
    holder = start(HOLDER, root)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with Store.open(root) as store:
        assert len(list(store.layout.tmp.iterdir())) == 1  # the living are left alone
    holder.kill()
    holder.communicate()
    with Store.open(root) as store:
        assert list(store.layout.tmp.iterdir()) == []
        with store.locks.hold("step"):
            pass


def test_garbage_collection_waits_for_nobody(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store.open(root) as store:
        layer = add_layer(store, None, "unused")
    holder = start(HOLDER, root)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with Store.open(root) as store:
            with pytest.raises(BuildFailure) as caught:
                gc.prune(store)
            assert caught.value.diagnostic.reference == "store-busy"
            assert gc.prune(store, dry_run=True).layers == 1
            assert layer.layer.is_dir()
    finally:
        holder.kill()
        holder.communicate()
    with Store.open(root) as store:
        assert gc.prune(store).layers == 1
        assert not layer.layer.exists()
        store.records.add(a_record("still usable"))
