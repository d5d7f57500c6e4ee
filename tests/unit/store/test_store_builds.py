"""Past builds, layers' blobs, speed of the index, the codec."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from tests.support.store_making import a_digest, a_record, add_layer

from lamina.digest import DiffID
from lamina.oci.descriptor import Descriptor
from lamina.store.builds import Build
from lamina.store.codec import decode, encode
from lamina.store.store import Store

BUILD = Build("b1", "/p\udcff", 10.0, 2.5, "done", "sha256:x", msgspec.Raw(b'[{"hit":true}]'), "b1.log")


def test_builds_newest_first(store: Store) -> None:
    for number in range(15):
        store.builds.add(msgspec.structs.replace(BUILD, id=f"b{number:02}", project=f"/p{number % 2}"))
    assert [build.id for build in store.builds.last(3)] == ["b14", "b13", "b12"]
    assert [build.id for build in store.builds.last(2, "/p0")] == ["b14", "b12"]
    assert len(store.builds.last()) == 10
    found = store.builds.get("b1")
    assert found is not None and found.id == "b14"
    assert store.builds.get("c") is None


def test_a_build_comes_back_whole_and_can_be_replaced(store: Store) -> None:
    store.builds.add(BUILD)
    assert store.builds.get("b1") == BUILD
    store.builds.add(msgspec.structs.replace(BUILD, result="failed"))
    assert [build.result for build in store.builds.last()] == ["failed"]
    assert store.builds.forget(10.0) == ()
    assert store.builds.forget(10.5) == ("b1.log",)
    assert store.builds.last() == ()


def test_a_damaged_build_is_passed_over(store: Store) -> None:
    store.builds.add(BUILD)
    store.builds.add(msgspec.structs.replace(BUILD, id="b2"))
    store.index.read("UPDATE builds SET data = x'0102' WHERE id = 'b2'")
    assert [build.id for build in store.builds.last()] == ["b1"]


def test_blobs_of_a_layer(store: Store) -> None:
    diff_id = DiffID(a_digest("layer"))
    assert store.layer_blobs.find(diff_id, "gzip") is None
    blobs = {}
    for compression in ("gzip", "zstd"):
        blobs[compression] = Descriptor(f"x+{compression}", store.blobs.put(compression.encode()), 4)
        store.layer_blobs.add(diff_id, compression, blobs[compression])
    assert store.layer_blobs.find(diff_id, "gzip") == blobs["gzip"]
    assert store.layer_blobs.all(diff_id) == blobs
    store.blobs.delete(blobs["gzip"].digest)
    assert store.layer_blobs.find(diff_id, "gzip") is None
    assert store.layer_blobs.all(diff_id) == {"zstd": blobs["zstd"]}


def test_finding_and_opening_are_quick(tmp_path: Path) -> None:
    root = tmp_path / "s"
    with Store.open(root) as store:
        chain = add_layer(store, None, "x").chain_id
        for number in range(1000):
            store.records.add(a_record(f"k{number}", result=chain))
    best_open = best_find = 1.0
    for number in range(10):
        start = time.perf_counter()
        with Store.open(root) as store:
            assert store.records.find(a_digest(f"k{number}")) is not None
            best_open = min(best_open, time.perf_counter() - start)
            start = time.perf_counter()
            assert store.records.find(a_digest("k999")) is not None
            best_find = min(best_find, time.perf_counter() - start)
    assert best_open < 0.005
    assert best_find < 0.001


def test_a_hit_makes_a_record_young(tmp_path: Path) -> None:
    root = tmp_path / "s"
    with Store.open(root) as store:
        store.records.add(a_record("old"))
        store.records.add(a_record("hit"))
        store.index.read("UPDATE records SET used = 1.0")
        store.records.find(a_digest("hit"))
    with Store.open(root) as store:
        used = {record.key.digest: used for _, used, record in store.records.all()}
        assert used[a_digest("old")] == 1.0
        assert used[a_digest("hit")] > time.time() - 100


@pytest.mark.parametrize("value", [{"a": ["x", 1, None]}, {"\udcff": ["é\udc80", {"n": 1.5}]}])
def test_the_codec_keeps_any_string(value: object) -> None:
    assert decode(encode(value), dict) == value


@pytest.mark.parametrize("data", [b"", b"\0", b"\1", b"\2x", b"\0\xc1", b"\1\xa1\xff", b"\0\x01"])
def test_the_codec_tells_damage(data: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode(data, dict)
