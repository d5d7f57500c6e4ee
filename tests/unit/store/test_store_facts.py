"""File facts: exact, small, quick."""

from __future__ import annotations

import hashlib
import time

import pytest

from lamina.keys.filetree import FileRecord, tree_digest
from lamina.store.store import Store


def many(count: int) -> list[FileRecord]:
    return [
        FileRecord(f"src/package{n // 100}/module{n}.py", "file", 0o644, n, hashlib.sha256(b"%d" % n).hexdigest())
        for n in range(count)
    ]


EVERYTHING = [
    FileRecord("caf\udce9", "file", 0o4755, 2**40, "ab" * 32, uid=1000, gid=2**31),
    FileRecord("dir", "dir", 0o1777),
    FileRecord("dir/link", "link", 0o777, target="../t\udcffé"),
    FileRecord("fifo", "fifo", 0o600),
    FileRecord("null", "char", 0o666, target="1:3"),
    FileRecord("loop", "block", 0o660, target="7:0", gid=6),
    FileRecord("sock", "socket", 0o755),
    FileRecord(
        "ünïcode", "file", 0o644, 0, "00" * 32, xattrs=(("security.capability", b"\0\xff"), ("user.\udcff", b""))
    ),
    FileRecord("not read yet", "file", 0o644, 5),
]


@pytest.mark.parametrize("records", [[], EVERYTHING, EVERYTHING[:1], EVERYTHING[1:2], many(3)])
def test_what_was_put_comes_back(store: Store, records: list[FileRecord]) -> None:
    digest = tree_digest(many(1))
    assert store.facts.get(digest) is None
    store.facts.put(digest, records)
    assert store.facts.get(digest) == tuple(records)
    assert store.facts.digests() == [digest]
    store.facts.delete(digest)
    assert store.facts.get(digest) is None


def test_ten_thousand_files_are_quick_and_small(store: Store) -> None:
    records = many(10_000)
    digest = tree_digest(records)
    start = time.perf_counter()
    store.facts.put(digest, records)
    first = time.perf_counter() - start
    start = time.perf_counter()
    store.facts.put(digest, records)
    again = time.perf_counter() - start
    assert store.facts.get(digest) == tuple(records)
    assert store.facts.size(digest) < 40 * 10_000
    assert first < 0.25  # 8 ms on an idle machine
    assert again < 0.02


@pytest.mark.parametrize("damage", [b"", b"xx", None])
def test_a_damaged_list_is_none_and_can_be_put_again(store: Store, damage: bytes | None) -> None:
    records = many(50)
    digest = tree_digest(records)
    store.facts.put(digest, records)
    path = store.layout.facts / digest[7:]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data) if damage is None else damage)
    assert store.facts.get(digest) is None
    store.facts.put(digest, records)
    assert store.facts.get(digest) == tuple(records)


def test_a_malformed_digest_leads_nowhere(store: Store) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        store.facts.put("sha256:../../x", many(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not a sha256 digest"):
        store.blobs.path("sha256:../../x")  # type: ignore[arg-type]


def test_answers_go_with_the_list_that_they_name(store: Store) -> None:
    records = many(3)
    digest, question = tree_digest(records), tree_digest(many(4))
    assert store.facts.recall(question) is None
    store.facts.remember(question, digest)
    store.facts.put(digest, records)
    assert store.facts.recall(question) == digest
    store.facts.delete(digest)
    assert store.facts.recall(question) is None
