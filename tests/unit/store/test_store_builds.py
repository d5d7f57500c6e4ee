"""Layers' blobs, speed of the index, the codec."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record

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


@pytest.mark.parametrize(
    "where",
    ["key = 'k' OR content_key = 'k'", "project = 'p' AND address = 'a'", "project = 'p' AND text = 't'", "text = 't'"],
)
def test_records_are_found_without_reading_all_of_them(tmp_path: Path, where: str) -> None:
    with Store.open(tmp_path / "s") as store:
        steps = [row[3] for row in store.index.read(f"EXPLAIN QUERY PLAN SELECT data FROM records WHERE {where}")]
    assert not any(step.startswith("SCAN") for step in steps), steps


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
