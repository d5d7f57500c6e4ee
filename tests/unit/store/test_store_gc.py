"""Garbage collection and pruning."""

from __future__ import annotations

import math
import os
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.keys.filetree import FileRecord
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest, encode_manifest
from lamina.ports.storing import Snapshot
from lamina.store import gc
from lamina.store.builds import Build
from lamina.store.cachemounts import CacheMounts
from lamina.store.gc import Wanted
from lamina.store.images import Image
from lamina.store.layout import FileLock
from lamina.store.store import Store
from lamina.store.usage import usage

BLOCK = 4096
WEEK = 604_800


def layers(store: Store) -> set[str]:
    return {path.name for path in store.layout.layers.iterdir()}


def stack_of(store: Store, *texts: str) -> list[Snapshot]:
    snapshots: list[Snapshot] = []
    for text in texts:
        snapshots.append(add_layer(store, snapshots[-1].chain_id if snapshots else None, text))
    return snapshots


def a_step(store: Store, name: str, *, size: int = 100, used: float | None = None, seconds: float = 1.0) -> Digest:
    """A step with a layer of `size` blocks and one for its directory; `used` seconds since the epoch."""
    import msgspec

    snapshot = add_layer(store, None, name.ljust(BLOCK * (size - 1) + 1, "."))
    store.records.add(msgspec.structs.replace(a_record(name, result=snapshot.chain_id), seconds=seconds))
    if used is not None:
        store.index.read("UPDATE records SET used = ? WHERE key = ?", used, a_digest(name))
    return a_digest(name)


def kept(store: Store) -> set[str]:
    return {record.key.digest for _, _, record in store.records.all()}


def counts(pruned: gc.Pruned) -> tuple[int, ...]:
    return (pruned.images, pruned.records, pruned.layers, pruned.blobs, pruned.facts, pruned.bytes)


def total(store: Store) -> int:
    """What pruning counts."""
    found = usage(store)
    return found.total - found.of("in progress")


def names(pruned: gc.Pruned) -> list[tuple[str, int, float]]:
    return [(step.text, step.own, step.used) for step in pruned.steps]


NOTHING = (0, 0, 0, 0, 0, 0)


def test_an_empty_store(store: Store) -> None:
    assert counts(gc.prune(store)) == NOTHING
    assert usage(store).own == 0


def test_what_a_named_image_needs_stays(store: Store) -> None:
    snapshots = stack_of(store, "a", "b", "c")
    lost = add_layer(store, snapshots[0].chain_id, "lost")
    add_image(store, "app", *(snapshot.diff_id for snapshot in snapshots))
    gzip = store.blobs.put(b"compressed a")
    store.layer_blobs.add(snapshots[0].diff_id, "gzip", Descriptor("x", gzip, 12))
    gone = store.blobs.put(b"nobody's")
    pruned = gc.prune(store, Wanted(older_than=time.time() + 9, max_size=0))
    assert (pruned.layers, pruned.blobs, pruned.bytes) == (1, 1, 3 * BLOCK)
    assert store.snapshots.get(lost.chain_id) is None
    assert len(store.snapshots.stack(snapshots[-1].chain_id)) == 3
    assert (store.blobs.has(gzip), store.blobs.has(gone)) == (True, False)
    assert counts(gc.prune(store)) == NOTHING


def test_a_record_keeps_its_layers_facts_and_blobs_until_it_is_pruned(store: Store) -> None:
    base, step = stack_of(store, "base", "step")
    tree, other = a_digest("tree"), a_digest("other")
    for digest in (tree, other):
        store.facts.put(digest, [FileRecord("f", "file", 0o644, 1, "ab" * 32)])
    store.records.add(a_record("k", parent=base.chain_id, result=step.chain_id, files=tree))
    gzip = store.blobs.put(b"compressed")
    store.layer_blobs.add(base.diff_id, "gzip", Descriptor("x", gzip, 10))
    assert gc.prune(store).facts == 1
    assert store.records.find(a_digest("k")) is not None
    assert store.blobs.has(gzip)
    assert store.facts.digests() == [tree]
    pruned = gc.prune(store, Wanted(older_than=time.time() + 1))
    assert (pruned.records, pruned.layers, pruned.blobs, pruned.facts) == (1, 2, 1, 1)
    assert layers(store) == set()
    found = usage(store)
    assert (found.own, found.records, found.kinds[1].count, found.kinds[2].count) == (0, 0, 0, 0)


def test_a_dry_run_tells_and_deletes_nothing(store: Store) -> None:
    _, step = stack_of(store, "base", "step")
    store.records.add(a_record("k", result=step.chain_id))
    store.blobs.put(b"x")
    add_image(store, None)
    store.session.swept()
    before = usage(store)
    wanted = Wanted(older_than=time.time() + 1)
    told = gc.prune(store, wanted, dry_run=True)
    assert usage(store) == before
    done = gc.prune(store, wanted)
    assert names(done) == names(told) and counts(done) == counts(told)
    assert told.images == 1 and told.bytes > 8
    assert [(step.text, step.seconds, step.own) for step in told.steps] == [("RUN make", 1.5, 2 * BLOCK)]


def test_the_longest_unused_go_first_and_only_as_many_as_needed(store: Store) -> None:
    keys = [a_step(store, f"k{number}", used=float(number + 1)) for number in range(10)]
    store.records.find(keys[0])  # used now
    store.records.flush()
    limit = total(store) - 550 * BLOCK
    wanted = Wanted(max_size=limit, order="age")
    told = gc.prune(store, wanted, dry_run=True)
    pruned = gc.prune(store, wanted)
    assert names(pruned) == names(told) and len(pruned.steps) == 6
    assert pruned.left <= limit
    assert kept(store) == {keys[number] for number in (0, 7, 8, 9)}
    assert gc.prune(store, Wanted(max_size=total(store), order="age")).steps == ()


def test_what_saves_least_for_its_bytes_goes_first(store: Store) -> None:
    now = time.time()
    quick = a_step(store, "quick and small", size=10, seconds=1.0, used=now)
    large = a_step(store, "slow and large", size=1000, seconds=20.0, used=now)
    small = a_step(store, "slow and small", size=10, seconds=20.0, used=now)
    old = a_step(store, "very slow, long ago", size=10, seconds=100.0, used=now - 10 * WEEK)
    order: list[str] = []
    for _ in range(4):
        before = kept(store)
        gc.prune(store, Wanted(max_size=total(store) - 1))
        order += before - kept(store)
    assert order == [old, large, quick, small]


def test_what_stands_on_a_layer_goes_with_it(store: Store) -> None:
    """A large cheap layer below a small expensive one is worth what both save."""
    base = add_layer(store, None, "b" * BLOCK * 1000)
    store.records.add(a_record("base", result=base.chain_id))
    top = add_layer(store, base.chain_id, "t")
    store.records.add(a_record("top", parent=base.chain_id, result=top.chain_id))
    rest = a_step(store, "rest", size=100)
    pruned = gc.prune(store, Wanted(max_size=total(store) - BLOCK))
    assert pruned.records == 2 and kept(store) == {rest}


def test_only_what_matches_all_wishes_goes(store: Store, tmp_path: Path) -> None:
    project = str(tmp_path / "app")
    for name, where, stage in (("1", project, "build"), ("2", project, "main"), ("3", project + "2", "build")):
        snapshot = add_layer(store, None, name)
        store.records.add(
            a_record(name, project=f"{where}:{where}/Dockerfile", address=f"{stage}/1", result=snapshot.chain_id)
        )
    assert gc.prune(store, Wanted(project=project, stage="build"), dry_run=True).records == 1
    assert gc.prune(store, Wanted(project=project, older_than=5.0)).records == 0
    assert gc.prune(store, Wanted(stage="build", max_size=total(store) * 2)).records == 0
    assert gc.prune(store, Wanted(project=project, stage="build")).layers == 1
    assert kept(store) == {a_digest("2"), a_digest("3")}
    assert gc.prune(store, Wanted(project=f"{project}:{project}/Dockerfile", max_size=0)).records == 1
    assert gc.prune(store, Wanted(stage="none", max_size=0)).records == 0
    assert kept(store) == {a_digest("3")}


def test_a_step_that_does_not_match_keeps_what_it_stands_on(store: Store) -> None:
    base, top = stack_of(store, "base", "top")
    store.records.add(a_record("base", result=base.chain_id, address="build/1"))
    store.records.add(a_record("top", parent=base.chain_id, result=top.chain_id, address="main/1"))
    assert gc.prune(store, Wanted(stage="build", max_size=0)).records == 0
    pruned = gc.prune(store, Wanted(stage="build"))
    assert (pruned.records, pruned.layers, pruned.bytes) == (1, 0, 0)
    assert len(store.snapshots.stack(top.chain_id)) == 2


def test_a_shared_directory_stays_while_one_chain_uses_it(store: Store) -> None:
    one = add_layer(store, add_layer(store, None, "one").chain_id, "same")
    two = add_layer(store, add_layer(store, None, "two").chain_id, "same")
    store.records.add(a_record("k", result=two.chain_id))
    gc.prune(store)
    assert store.snapshots.get(one.chain_id) is None
    assert two.layer.is_dir()
    assert len(layers(store)) == 2


def test_orphans_and_nameless_images_go(store: Store) -> None:
    image = add_image(store, None)
    (store.layout.layers / "zz" / "deep").mkdir(parents=True)
    pruned = gc.prune(store)
    assert (pruned.images, pruned.layers, pruned.bytes) == (1, 1, 3 * BLOCK)
    assert layers(store) == set()
    assert not store.blobs.has(image.id)


def test_a_final_key_goes_with_its_image(store: Store) -> None:
    named, nameless = add_image(store, "app"), add_image(store, None, Digest(a_digest("x")))  # type: ignore[arg-type]
    store.images.remember_key(a_digest("one"), named.id)
    store.images.remember_key(a_digest("two"), nameless.id)
    gc.prune(store)
    found = store.images.by_key(a_digest("one"))
    assert found is not None and found.names == ("docker.io/library/app:latest",)
    assert store.images.by_key(a_digest("two")) is None
    store.images.untag("app")
    assert store.index.read("SELECT count(*) FROM results") == [(0,)]


def test_the_manifest_and_its_layers_stay_with_a_pulled_image(store: Store) -> None:
    layer = store.blobs.put(b"layer as pulled")
    config = add_image(store, None).id
    entry = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer, 15)
    manifest = Manifest(2, "application/vnd.oci.image.manifest.v1+json", Descriptor("c", config, 1), (entry,))
    digest = store.blobs.put(encode_manifest(manifest))
    store.images.add(Image(config, "linux/amd64", 1.0, digest, manifest.media_type, names=("base",)))
    assert counts(gc.prune(store)) == NOTHING
    store.images.untag("base")
    assert gc.prune(store).blobs == 3


def test_a_damaged_image_does_not_stop_collection(store: Store) -> None:
    image = add_image(store, "app")
    store.blobs.delete(image.id)
    add_layer(store, None, "lost")
    assert gc.prune(store).layers == 1
    assert store.images.get("app") is not None


def a_build(store: Store, name: str, started: float, *facts: str, project: str = "/p") -> None:
    (store.layout.logs / f"{name}.log").write_text(name)
    for fact in facts:
        store.facts.put(a_digest(fact), [FileRecord(fact, "file", 0o644, 1, "ab" * 32)])
    store.builds.add(Build(name, project, started, 1.0, "done", log=f"{name}.log", facts=tuple(map(a_digest, facts))))


def builds(store: Store) -> list[str]:
    return [build.id for build in store.builds.newest()]


def test_old_builds_go_with_their_logs(store: Store) -> None:
    a_build(store, "b1", 10.0)
    store.builds.add(Build("b2", "/p", time.time(), 1.0, "done", log="../../outside"))
    assert gc.prune(store, Wanted(older_than=100.0, stage="main")).builds == 0
    assert gc.prune(store, Wanted(older_than=100.0)).builds == 1
    assert builds(store) == ["b2"]
    assert list(store.layout.logs.iterdir()) == []


def test_a_build_keeps_the_facts_that_it_names(store: Store) -> None:
    a_build(store, "b1", 10.0, "one", "both")
    a_build(store, "b2", 20.0, "both", "two")
    assert gc.prune(store).facts == 0
    wanted = Wanted(max_size=total(store) - BLOCK)
    told = gc.prune(store, wanted, dry_run=True)
    assert (told.builds, told.facts, told.bytes) == (1, 1, 2 * BLOCK)
    done = gc.prune(store, wanted)
    assert counts(done) == counts(told) and builds(store) == ["b2"]
    assert set(store.facts.digests()) == {a_digest("both"), a_digest("two")}
    assert gc.prune(store, Wanted(max_size=0)).builds == 1
    assert store.facts.digests() == []


def test_the_newest_builds_of_each_project_are_remembered(store: Store) -> None:
    for number in range(gc.BUILDS + 3):
        a_build(store, f"a{number}", float(number))
    a_build(store, "other", 0.0, project="/q")
    assert gc.prune(store, dry_run=True).builds == 3
    assert gc.prune(store).builds == 3
    assert len(builds(store)) == gc.BUILDS + 1 and not {"a0", "a1", "a2"} & set(builds(store))
    assert len(list(store.layout.logs.iterdir())) == gc.BUILDS + 1


def test_pruning_needs_the_store_alone(store: Store) -> None:
    other = Store.open(store.layout.root)
    with pytest.raises(BuildFailure) as caught:
        gc.prune(store)
    assert caught.value.diagnostic.reference == "store-busy"
    other.close()
    gc.prune(store)
    Store.open(store.layout.root).close()  # shared again


def test_who_failed_to_be_alone_has_not_let_others_in(store: Store) -> None:
    """Between the two kinds of its lock a process holds none; a second one must not use that."""
    gate = FileLock(store.layout.locks / "alone")
    with pytest.raises(BuildFailure) as caught, store.alone():
        raise AssertionError
    assert caught.value.diagnostic.reference == "store-busy"
    gate.close()
    with store.alone():
        pass


def test_downloads_go_by_their_age_alone(store: Store) -> None:
    (store.layout.downloads / "old" / "deep").mkdir(parents=True)
    (store.layout.downloads / "old" / "deep" / "file").write_bytes(b"x" * 10_000)
    (store.layout.downloads / "new").write_bytes(b"x" * 5_000)
    os.utime(store.layout.downloads / "old", (1000, 1000))
    assert usage(store).of("downloads") >= 15_000
    assert counts(gc.prune(store, Wanted(max_size=0))) == NOTHING
    wanted = Wanted(older_than=2000)
    told = gc.prune(store, wanted, dry_run=True)
    assert told.downloads == 1 and told.bytes >= 10_000
    assert counts(gc.prune(store, wanted)) == counts(told)
    assert [path.name for path in store.layout.downloads.iterdir()] == ["new"]
    assert gc.prune(store, Wanted(older_than=math.inf)).downloads == 1


def test_cache_mounts_go_when_asked_for_and_unused(store: Store) -> None:
    mounts = CacheMounts(store.layout.cache_mounts)
    with mounts.lease("idle", "shared", lambda folder: None):
        pass
    with mounts.lease("busy", "shared", lambda folder: None):
        wanted = Wanted(cache_mounts=True)
        assert gc.prune(store).cache_mounts == 0
        told = gc.prune(store, wanted, dry_run=True)
        assert told.cache_mounts == 1
        assert gc.prune(store, wanted).cache_mounts == 1
    assert [folder.name for folder in mounts.folders()] == ["busy"]


def test_usage_is_what_the_disk_says(store: Store) -> None:
    first = add_layer(store, None, "x" * 100_000)
    with store.snapshots.begin(None) as work:
        os.link(first.layer / "file", work.upper / "linked")
        (work.upper / "own").write_bytes(b"y" * 50_000)
        second = store.snapshots.commit(work, None, a_digest("second"), None)  # type: ignore[arg-type]
    store.session.swept()
    found = usage(store)
    said = int(subprocess.check_output(["du", "-s", "--block-size=1", store.layout.root]).split()[0])
    assert found.total == said
    assert found.shared == 102_400 and found.of("layers") == 102_400 + 53_248 + 3 * BLOCK
    rows = {row.chain: row.disk for row in store.snapshots.rows()}
    assert rows == {first.chain_id: 102_400 + BLOCK, second.chain_id: 53_248 + BLOCK}
