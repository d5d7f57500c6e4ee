"""Lists of file records at random: what is kept comes back, alone or as a difference to another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.store_making import a_digest

from lamina.keys.filetree import FileRecord
from lamina.store import columns, packed
from lamina.store.store import Store

#: As the kernel gives them: any bytes but NUL, where those that are not UTF-8 are surrogates.
names = st.binary(min_size=1, max_size=12).map(
    lambda data: data.replace(b"\0", b"x").decode("utf-8", "surrogateescape")
)
records = st.builds(
    FileRecord,
    path=names,
    kind=st.sampled_from(["file", "dir", "link", "fifo", "char", "block", "socket"]),
    mode=st.integers(0, 0o7777),
    size=st.integers(0, 2**63 - 1),
    content=st.one_of(st.just(""), st.binary(min_size=32, max_size=32).map(bytes.hex)),
    target=st.one_of(st.just(""), names),
    uid=st.sampled_from([0, 0, 1000, 2**32 - 1]),
    gid=st.sampled_from([0, 0, 1000, 2**32 - 1]),
    xattrs=st.lists(st.tuples(names, st.binary(max_size=8)), max_size=2).map(tuple),
)
lists = st.lists(records, max_size=40)


@st.composite
def alike(draw: st.DrawFn) -> tuple[list[FileRecord], list[FileRecord]]:
    """A list, and the same with some records replaced, taken out and put in."""
    old = draw(lists)
    new = list(old)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(new)))
        new[place : place + draw(st.integers(0, 2))] = draw(st.lists(records, max_size=2))
    return old, new


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("facts") / "store") as opened:
        yield opened


@settings(max_examples=150, deadline=None)
@given(pair=alike(), third=lists)
def test_lists_come_back(
    store: Store, pair: tuple[list[FileRecord], list[FileRecord]], third: list[FileRecord]
) -> None:
    lists_of = {a_digest("old"): pair[0], a_digest("new"): pair[1], a_digest("third"): third}
    before: str | None = None
    for digest, found in lists_of.items():
        store.facts.put(digest, found, like=a_digest(before) if before else None)
        before = "old" if before is None else "new"
    assert {digest: store.facts.get(digest) for digest in lists_of} == {
        digest: tuple(found) for digest, found in lists_of.items()
    }
    assert all(store.facts.needs(base) is None for base in store.facts.closure(lists_of) - set(lists_of))
    for digest in lists_of:
        store.facts.delete(digest)


@settings(max_examples=300, deadline=None)
@given(pair=alike(), data=st.data())
def test_a_difference_gives_the_list_or_nothing(
    pair: tuple[list[FileRecord], list[FileRecord]], data: st.DataObject
) -> None:
    old, new = (columns.to_bytes(found) for found in pair)
    packed_new = packed.difference(new, a_digest("old"), old)
    assert packed_new is not None
    assert packed.needs(packed_new[: packed.HEAD]) == a_digest("old")
    assert columns.from_bytes(packed.unpack(packed_new, old)) == tuple(pair[1])
    offset = data.draw(st.integers(packed.HEAD, len(packed_new) - 1))
    wrong = bytearray(packed_new)
    wrong[offset] ^= data.draw(st.integers(1, 255))
    try:
        assert packed.unpack(bytes(wrong), old) == new
    except ValueError:
        pass
    with pytest.raises(ValueError, match="damaged"):
        if packed.unpack(packed_new, old[:-1] + b"\7") == new:  # nothing of the last byte was used
            raise ValueError("damaged")
