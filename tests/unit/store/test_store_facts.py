"""File facts: exact, small, quick."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import suppress

import pytest
import zstandard
from msgspec.structs import replace
from tests.support.store_making import a_record

from lamina.digest import Digest
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.store import columns, gc, packed
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


def changed(records: list[FileRecord], numbers: Collection[int], text: str = "new") -> list[FileRecord]:
    """The same with new contents for the files of these numbers."""
    digests = {number: hashlib.sha256(f"{text} {number}".encode()).hexdigest() for number in numbers}
    return [replace(record, content=digests.get(number, record.content)) for number, record in enumerate(records)]


def keep(store: Store, records: list[FileRecord], like: Digest | None = None) -> Digest:
    digest = tree_digest(records)
    store.facts.put(digest, records, like)
    assert store.facts.get(digest) == tuple(records)
    return digest


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_one_changed_file_costs_a_few_bytes_also_the_hundredth_time(store: Store, count: int) -> None:
    digest = first = keep(store, many(count))
    for number in range(100 if count == 1_000 else 5):
        digest = keep(store, changed(many(count), [number], "again"), like=digest)
        assert store.facts.needs(digest) == first
        assert store.facts.size(digest) < 300
    assert store.facts.needs(first) is None


def test_files_that_come_and_go_cost_little(store: Store) -> None:
    first = sorted(many(10_000), key=lambda record: record.path)
    more = sorted(
        [*first, *(replace(record, path=record.path + "~") for record in first[::2000])], key=lambda r: r.path
    )
    less = [record for number, record in enumerate(first) if number % 2000]
    for records in (more, less):
        assert store.facts.size(keep(store, records, like=keep(store, first))) < 16_000


def test_a_list_of_which_much_changed_is_whole_and_the_next_are_like_it(store: Store) -> None:
    first = many(1_000)
    half = changed(first, range(0, 1_000, 2))
    second = keep(store, half, like=keep(store, first))
    assert store.facts.needs(second) is None
    assert store.facts.needs(keep(store, changed(half, [7]), like=second)) == second


def test_a_list_is_never_like_itself(store: Store) -> None:
    """A is like B; B is lost and comes again, like A: then B is whole."""
    records = many(500)
    base = keep(store, records)
    other = keep(store, changed(records, [3]), like=base)
    store.facts.delete(base)
    assert keep(store, records, like=other) == base
    assert store.facts.needs(base) is None
    assert store.facts.get(other) == tuple(changed(records, [3]))


def test_what_a_kept_list_needs_is_kept_and_no_more(store: Store) -> None:
    base = keep(store, many(500))
    other = keep(store, changed(many(500), [3]), like=base)
    alone = keep(store, many(10))
    nowhere = tree_digest(many(11))
    assert store.facts.closure({other, nowhere}) == {other, base, nowhere}
    store.records.add(a_record(files=other))
    assert gc.prune(store).facts == 1
    assert sorted(store.facts.digests()) == sorted([base, other])
    assert alone not in store.facts.digests()
    assert store.facts.get(other) == tuple(changed(many(500), [3]))


@pytest.mark.parametrize("damage", ["gone", "empty", "flipped", "a difference itself", "another list"])
def test_a_difference_without_its_base_is_none_and_can_be_put_again(store: Store, damage: str) -> None:
    records = many(500)
    base, new = keep(store, records), changed(records, [3])
    other = keep(store, new, like=base)
    path = store.layout.facts / base[7:]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flipped":
        path.write_bytes(data)
    elif damage == "another list":  # as one written by another version, in another order of columns
        path.write_bytes(packed.whole(columns.to_bytes(many(501))))
    else:
        path.write_bytes((store.layout.facts / other[7:]).read_bytes())
    assert store.facts.get(other) is None
    assert other not in store.facts.digests()
    store.facts.put(other, new, like=base)
    assert store.facts.get(other) == tuple(new)


def test_a_difference_to_a_list_that_is_gone_is_put_again_unread(store: Store) -> None:
    base = keep(store, many(500))
    new = changed(many(500), [3])
    other = keep(store, new, like=base)
    store.facts.delete(base)
    assert keep(store, new) == other
    assert store.facts.needs(other) is None


def test_files_of_earlier_versions_are_read(store: Store) -> None:
    """One frame with a checksum, at level 1."""
    records = many(300)
    frame = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(columns.to_bytes(records))
    old = tree_digest(records)
    (store.layout.facts / old[7:]).write_bytes(frame)
    assert store.facts.get(old) == tuple(records)
    assert store.facts.needs(keep(store, changed(records, [1]), like=old)) == old


def damaged(data: bytes) -> Iterator[bytes]:
    """Each bit flipped, each byte made 0 and 255, and cut at every length."""
    for offset in range(len(data)):
        for value in {data[offset] ^ (1 << bit) for bit in range(8)} | {0, 255}:
            yield data[:offset] + bytes([value]) + data[offset + 1 :]
        yield data[:offset]


@pytest.mark.parametrize("difference", [False, True])
def test_a_file_damaged_anywhere_is_the_right_list_or_none(difference: bool) -> None:
    base, base_raw = tree_digest(many(60)), columns.to_bytes(many(60))
    records = changed(many(60), [3, 40])
    raw = columns.to_bytes(records)
    data = packed.difference(raw, base, base_raw) if difference else packed.whole(columns.to_bytes(EVERYTHING))
    assert data is not None
    for wrong in damaged(data):
        with suppress(ValueError):
            if packed.needs(wrong) not in (None, base):
                continue  # the list that it is said to need is not there
            found = packed.unpack(wrong, base_raw if packed.needs(wrong) else None)
            assert columns.from_bytes(found) == tuple(records if difference else EVERYTHING)


def test_a_damaged_difference_is_none(store: Store) -> None:
    base = keep(store, many(100))
    other = keep(store, changed(many(100), [3]), like=base)
    path = store.layout.facts / other[7:]
    data = path.read_bytes()
    for offset in range(len(data)):
        path.write_bytes(data[:offset] + bytes([data[offset] ^ 0x55]) + data[offset + 1 :])
        assert store.facts.get(other) in (None, tuple(changed(many(100), [3])))
        assert store.facts.get(base) == tuple(many(100))
