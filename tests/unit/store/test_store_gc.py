"""Garbage collection and pruning."""

from __future__ import annotations

import math
import os
import time

import pytest
from tests.support.store_making import a_digest, a_record, add_image, add_layer

from lamina.keys.filetree import FileRecord
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest, encode_manifest
from lamina.ports import Snapshot
from lamina.store import gc
from lamina.store.images import Image
from lamina.store.store import Store

NOTHING = gc.Pruned(0, 0, 0, 0, 0, 0)


def layers(store: Store) -> set[str]:
    return {path.name for path in store.layout.layers.iterdir()}


def stack_of(store: Store, *texts: str) -> list[Snapshot]:
    snapshots: list[Snapshot] = []
    for text in texts:
        snapshots.append(add_layer(store, snapshots[-1].chain_id if snapshots else None, text))
    return snapshots


def test_an_empty_store(store: Store) -> None:
    assert gc.prune(store) == NOTHING
    assert gc.usage(store).total == 0


def test_what_a_named_image_needs_stays(store: Store) -> None:
    snapshots = stack_of(store, "a", "b", "c")
    lost = add_layer(store, snapshots[0].chain_id, "lost")
    add_image(store, "app", *(snapshot.diff_id for snapshot in snapshots))
    gzip = store.blobs.put(b"compressed a")
    store.layer_blobs.add(snapshots[0].diff_id, "gzip", Descriptor("x", gzip, 12))
    gone = store.blobs.put(b"nobody's")
    pruned = gc.prune(store, older_than=time.time() + 9, max_size=0)
    assert (pruned.layers, pruned.blobs, pruned.bytes) == (1, 1, 4 + 8)
    assert store.snapshots.get(lost.chain_id) is None
    assert len(store.snapshots.stack(snapshots[-1].chain_id)) == 3
    assert (store.blobs.has(gzip), store.blobs.has(gone)) == (True, False)
    assert gc.prune(store) == NOTHING


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
    pruned = gc.prune(store, older_than=time.time() + 1)
    assert (pruned.records, pruned.layers, pruned.blobs, pruned.facts) == (1, 2, 1, 1)
    assert layers(store) == set()
    assert gc.usage(store) == gc.Usage(0, 0, 0, 0, 0, 0, 0)


def test_a_dry_run_tells_and_deletes_nothing(store: Store) -> None:
    _, step = stack_of(store, "base", "step")
    store.records.add(a_record("k", result=step.chain_id))
    store.blobs.put(b"x")
    add_image(store, None)
    before = gc.usage(store)
    told = gc.prune(store, older_than=time.time() + 1, dry_run=True)
    assert gc.usage(store) == before
    assert gc.prune(store, older_than=time.time() + 1) == told
    assert told.images == 1 and told.bytes > 8


def test_the_longest_unused_go_first_and_only_as_many_as_needed(store: Store) -> None:
    for number in range(10):
        snapshot = add_layer(store, None, f"{number}" * 1000)
        store.records.add(a_record(f"k{number}", result=snapshot.chain_id))
        store.index.read("UPDATE records SET used = ? WHERE id = ?", float(number), number + 1)
    store.records.find(a_digest("k0"))  # used now
    pruned = gc.prune(store, max_size=4500)
    assert (pruned.records, pruned.bytes) == (6, 6000)
    kept = [record.key.digest for _, _, record in store.records.all()]
    assert kept == [a_digest(f"k{number}") for number in (0, 7, 8, 9)]
    assert gc.usage(store).layer_bytes == 4000
    assert gc.prune(store, max_size=4500) == NOTHING


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
    assert gc.prune(store).images == 1
    assert layers(store) == set()
    assert not store.blobs.has(image.id)


def test_the_manifest_and_its_layers_stay_with_a_pulled_image(store: Store) -> None:
    layer = store.blobs.put(b"layer as pulled")
    config = add_image(store, None).id
    entry = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer, 15)
    manifest = Manifest(2, "application/vnd.oci.image.manifest.v1+json", Descriptor("c", config, 1), (entry,))
    digest = store.blobs.put(encode_manifest(manifest))
    index = store.blobs.put(b"{}")
    store.images.add(Image(config, "linux/amd64", 1.0, digest, manifest.media_type, index, ("base",)))
    assert gc.prune(store) == NOTHING
    store.images.untag("base")
    assert gc.prune(store).blobs == 4


def test_a_damaged_image_does_not_stop_collection(store: Store) -> None:
    image = add_image(store, "app")
    store.blobs.delete(image.id)
    add_layer(store, None, "lost")
    assert gc.prune(store).layers == 1
    assert store.images.get("app") is not None


def test_old_builds_go_with_their_logs(store: Store) -> None:
    from lamina.store.builds import Build

    (store.layout.logs / "b1.log").write_text("old")
    store.builds.add(Build("b1", "/p", 10.0, 1.0, "done", log="b1.log"))
    store.builds.add(Build("b2", "/p", time.time(), 1.0, "done", log="../../outside"))
    gc.prune(store, older_than=100.0)
    assert [build.id for build in store.builds.last()] == ["b2"]
    assert list(store.layout.logs.iterdir()) == []


def test_pruning_needs_the_store_alone(store: Store) -> None:
    from lamina.diagnostics import BuildFailure

    other = Store.open(store.layout.root)
    with pytest.raises(BuildFailure) as caught:
        gc.prune(store)
    assert caught.value.diagnostic.reference == "store-busy"
    other.close()
    gc.prune(store)
    Store.open(store.layout.root).close()  # shared again


def test_downloads_go_by_their_age_alone(store: Store) -> None:
    (store.layout.downloads / "old" / "deep").mkdir(parents=True)
    (store.layout.downloads / "old" / "deep" / "file").write_bytes(b"x" * 10_000)
    (store.layout.downloads / "new").write_bytes(b"x" * 5_000)
    os.utime(store.layout.downloads / "old", (1000, 1000))
    assert gc.usage(store).download_bytes >= 15_000
    assert gc.prune(store, max_size=0) == NOTHING
    told = gc.prune(store, older_than=2000, dry_run=True)
    assert told.downloads == 1 and told.bytes >= 10_000
    assert gc.prune(store, older_than=2000) == told
    assert [path.name for path in store.layout.downloads.iterdir()] == ["new"]
    assert gc.prune(store, older_than=math.inf).downloads == 1
