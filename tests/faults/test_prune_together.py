"""Pruning while other processes prune, build, and are killed: the store works, and gives nothing wrong."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.command import Command, finish, project, write
from tests.support.store_making import a_digest, a_record, add_image, add_layer, content_diff_id

from lamina.keys.filetree import FileRecord, tree_digest
from lamina.store import gc
from lamina.store.builds import Build
from lamina.store.fsck import check
from lamina.store.store import Store
from lamina.testing.crash import killed_at

TEXT = """FROM busybox
COPY shared /shared
RUN cat /shared > /copy
COPY own /own
RUN cat /own /copy > /all; head -c 300000 /dev/zero > /room
CMD cat /all
"""


def test_two_prunes_and_a_build_at_once(lamina: Command, tmp_path: Path) -> None:
    context = project(tmp_path / "context", TEXT, {"shared": "shared\n", "own": "own\n"})
    for number in range(3):
        write(context, {"shared": f"shared {number}\n"})
        running = [
            lamina.start("build", "-t", "x", context),
            lamina.start("cache", "prune", "--max-size", "1kb"),
            lamina.start("cache", "prune", "--older-than", "0s", "--by", "age"),
        ]
        build, *prunes = [finish(process) for process in running]
        assert build.code == 0, build.err
        for prune in prunes:
            assert prune.code == 0 or "[store-busy]" in prune.err, prune.err
            assert "Traceback" not in prune.err
        assert lamina.run("run", "x").ok().out == f"own\nshared {number}\n"
    lamina.verify()


def test_many_builds_below_a_limit(lamina: Command, tmp_path: Path) -> None:
    """Different builds in a row, several at a time as well: the limit holds, the newest is cached, and none fails."""
    limit = 21_000_000
    lamina.run("cache", "limit", str(limit)).ok()
    text = "FROM busybox\nARG N\nRUN head -c 2000000 /dev/urandom > /noise; echo $N > /n\nCMD cat /n\n"
    context = project(tmp_path / "context", text)
    for number in range(7):
        flags = ("--build-arg", f"N={number}", "-t", "x")
        built = lamina.build(context, *flags).ok()
        assert _size(lamina.root) <= limit
        assert lamina.build(context, *flags).verdicts() == {}
        assert lamina.run("run", "x").ok().out == f"{number}\n"
        assert built.image
    running = [
        lamina.start("build", "--build-arg", f"N=together {number}", "-t", f"y{number}", context) for number in range(2)
    ]
    for done in map(finish, running):
        assert done.code == 0 or "[store-over-limit]" in done.err, done.err
    assert _size(lamina.root) <= limit
    (context / "Dockerfile").write_text("FROM busybox\nRUN head -c 30000000 /dev/urandom > /noise\n")
    failed = lamina.build(context)
    assert failed.code == 7 and "store-over-limit" in failed.err and "Traceback" not in failed.err
    assert _size(lamina.root) <= limit
    assert not list((lamina.root / "tmp").iterdir())
    lamina.verify()


def _size(root: Path) -> int:
    """Of the store without what is in progress: the process that syncs may be at work."""
    from lamina.store.measure import disk_bytes

    return sum(disk_bytes(path) for path in root.iterdir() if path.name != "tmp")


def _fill(root: Path) -> None:
    with Store.open(root) as store:
        parent = None
        for number in range(4):
            snapshot = add_layer(store, parent, f"text {number}" * 500)
            files = [FileRecord(f"f{number}", "file", 0o644, 1, "ab" * 32)]
            fact = tree_digest(files)
            store.facts.put(fact, files)
            if store.records.find(a_digest(f"step {number}")) is None:  # the same amount of work for each point
                store.records.add(a_record(f"step {number}", parent=parent, result=snapshot.chain_id, files=fact))
            name = f"b{number}"
            (store.layout.logs / f"{name}.log").write_text("log")
            store.builds.add(Build(name, "/p", time.time(), 1.0, "done", log=f"{name}.log", facts=(fact,)))
            parent = snapshot.chain_id if number % 2 == 0 else None
            if number == 0:
                image = add_image(store, "app", snapshot.diff_id)
        store.images.remember_key(a_digest("final"), image.id)


def _assert_right(root: Path) -> int:
    """Every record that is found has its own layers; returns how many are."""
    with Store.open(root) as store:
        assert [problem for problem in check(store, content_diff_id) if problem.serious] == []
        hits = 0
        for number in range(4):
            record = store.records.find(a_digest(f"step {number}"))
            if record is not None and record.result is not None:
                assert (store.snapshots.stack(record.result)[0] / "file").read_text() == f"text {number}" * 500
                hits += 1
        found = store.images.by_key(a_digest("final"))
        assert found is None or store.blobs.has(found.id)
        assert list(store.layout.tmp.iterdir()) == []
        return hits


def _killed_at_many_points(root: Path, wanted: gc.Wanted | None, step: int) -> int:
    def action() -> None:
        with Store.open(root, max_size=10**9) as store:
            if wanted is None:
                store.limit.make_room(30_000)
            else:
                gc.prune(store, wanted)

    points, line = 0, 20
    while True:
        _fill(root)
        if not killed_at(line, "/lamina/store/", action):
            return points
        _assert_right(root)
        points += 1
        line += step


def test_killed_anywhere_while_pruning_to_a_size(tmp_path: Path) -> None:
    root = tmp_path / "store"
    assert _killed_at_many_points(root, gc.Wanted(max_size=0, cache_mounts=True), 151) > 10
    with Store.open(root) as store:
        gc.prune(store)
        assert {path.name for path in store.layout.layers.iterdir()} == {
            store.layout.layer(row.layer).name for row in store.snapshots.rows()
        }


def test_killed_anywhere_while_evicting(tmp_path: Path) -> None:
    assert _killed_at_many_points(tmp_path / "store", None, 151) > 5
