"""Layers' blobs, speed of the index, the codec."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_layer

from lamina.digest import DiffID
from lamina.oci.descriptor import Descriptor
from lamina.store.codec import decode, encode
from lamina.store.store import Store


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
