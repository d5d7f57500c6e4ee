"""The records file: what is written comes back, and what is anything else is refused."""

from __future__ import annotations

import io
import random

import pytest
import zstandard
from msgspec.structs import replace

from lamina.cli import records_file
from lamina.cli.records_file import FORMAT, End, Header, Item, Listed, Told, framed, read, write
from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.explain.against import lists_of
from lamina.explain.story import SCHEMA, Story, tell
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.store.builds import Build
from lamina.testing.context import MemoryContext
from lamina.testing.world import memory_world

HEADER = Header("CI", 1.0, SCHEMA, "0")
#: In a file that is made here: an end that is right.
END = End(Digest("right"))
BUILD = Build("6923aa01", "shop", 1000.0, 41.0, "done", log="secret-place.log")


@pytest.fixture(scope="module")
def made() -> tuple[Story, dict[Digest, tuple[FileRecord, ...]]]:
    world = memory_world(MemoryContext({"a": b"1", "bé": b"2"}))
    return tell(world.build("FROM base\nCOPY . /x\nRUN one\n").stages), world.facts.lists


def written(story: Story, lists: dict[Digest, tuple[FileRecord, ...]], build: Build = BUILD) -> bytes:
    stream = io.BytesIO()
    write(stream, HEADER, [(build, story)], lists.get)
    return stream.getvalue()


def packed(*items: Item | bytes, number: int = FORMAT) -> bytes:
    """A file of any items, as nobody honest writes them."""
    raw = b""
    for item in items:
        if isinstance(item, End) and item == END:
            item = End(digest_of(raw))
        raw += item if isinstance(item, bytes) else framed(item)
    return b"lamina records %d\n" % number + zstandard.ZstdCompressor().compress(raw)


def refused(data: bytes) -> str:
    kept: list[Digest] = []
    with pytest.raises(BuildFailure) as failure:
        read(io.BytesIO(data), lambda digest, records: kept.append(digest))
    return failure.value.diagnostic.reference


def renamed(story: Story, files: Digest) -> Story:
    """The story with another name of its one list."""
    steps = []
    for step in story.stages[0].steps:
        if step.key is not None:
            parts = tuple(replace(part, files=files) if part.files else part for part in step.key.parts)
            step = replace(step, key=replace(step.key, parts=parts))
        steps.append(step)
    return Story((replace(story.stages[0], steps=tuple(steps)),))


def test_what_is_written_comes_back(made: tuple[Story, dict[Digest, tuple[FileRecord, ...]]]) -> None:
    story, lists = made
    kept: dict[Digest, tuple[FileRecord, ...]] = {}
    header, (told,) = read(io.BytesIO(written(story, lists)), lambda d, r: kept.update({d: tuple(r)}))
    assert header == HEADER
    assert told.story == story
    assert told.build == replace(BUILD, log=None, facts=lists_of(story))
    assert kept == {digest: lists[digest] for digest in lists_of(story)} != {}


def test_a_list_that_is_gone_is_left_out(made: tuple[Story, dict[Digest, tuple[FileRecord, ...]]]) -> None:
    _, (told,) = read(io.BytesIO(written(made[0], {})), lambda d, r: pytest.fail("no list"))
    assert told.story == made[0]


def test_owners_may_be_in_a_digest(made: tuple[Story, dict[Digest, tuple[FileRecord, ...]]]) -> None:
    story = made[0]
    records = (FileRecord("a\udcff", "file", 0o644, 1, "1" * 64, uid=7, gid=8),)
    new = tree_digest(records, owners=True)
    told = Told(BUILD, renamed(story, new))
    kept: list[Digest] = []
    read(io.BytesIO(packed(HEADER, told, Listed(new, records), END)), lambda d, r: kept.append(d))
    assert kept == [new]


def test_another_version_is_told(made: tuple[Story, dict[Digest, tuple[FileRecord, ...]]]) -> None:
    assert refused(packed(HEADER, END, number=2)) == "store-records-version"
    assert refused(packed(replace(HEADER, stories=SCHEMA + 1), END)) == "store-records-version"


def test_what_is_not_as_it_should_be_is_refused(made: tuple[Story, dict[Digest, tuple[FileRecord, ...]]]) -> None:
    story, lists = made
    told = Told(BUILD, story)
    (name,) = lists_of(story)
    honest = Listed(name, lists[name])
    other = (FileRecord("a", "file", 0o600, 1, "1" * 64),)
    step = story.stages[0].steps[0]
    late = Story((replace(story.stages[0], steps=(replace(step, seconds=float("nan")),)),))
    cases: dict[str, bytes] = {
        "empty": b"",
        "another file": b"#!/bin/sh\n",
        "no frame": b"lamina records 1\n",
        "no header": packed(told, END),
        "two headers": packed(HEADER, HEADER, END),
        "no end": packed(HEADER, told, honest),
        "a wrong end": packed(HEADER, told, End(name)),
        "after the end": packed(HEADER, END, told),
        "a list of nobody": packed(HEADER, honest, END),
        "a list twice": packed(HEADER, told, honest, honest, END),
        "a list that lies": packed(HEADER, told, Listed(name, other), END),
        "a path with NUL": packed(HEADER, told, Listed(name, (replace(other[0], path="a\0b"),)), END),
        "a mode that is none": packed(HEADER, told, Listed(name, (replace(other[0], mode=1 << 40),)), END),
        "an id that is a path": packed(HEADER, Told(replace(BUILD, id="../../x"), story), END),
        "a time that is none": packed(HEADER, Told(replace(BUILD, started=float("inf")), story), END),
        "a step's time that is none": packed(HEADER, Told(BUILD, late), END),
        "a list that is a path": packed(HEADER, Told(BUILD, renamed(story, Digest("../../x"))), END),
        "a build twice": packed(HEADER, told, told, END),
        "no item": packed(HEADER, b"\0\0\0\2\0\xc1", END),
        "an item cut short": packed(HEADER)[:-3],
    }
    assert {case: refused(data) for case, data in cases.items()} == dict.fromkeys(cases, "store-records-damaged")


def test_a_bomb_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_file, "ITEM", 1 << 20)
    monkeypatch.setattr(records_file, "TOTAL", 4 << 20)
    packer = zstandard.ZstdCompressor()
    huge = (1 << 30).to_bytes(4, "big") + bytes(1 << 20)
    assert refused(b"lamina records 1\n" + packer.compress(huge)) == "store-records-damaged"
    item = (1 << 20).to_bytes(4, "big") + bytes(1 << 20)
    many = framed(HEADER) + item * 64
    assert refused(b"lamina records 1\n" + packer.compress(many)) == "store-records-damaged"


def test_a_file_that_is_cut_or_flipped_anywhere_is_refused(
    made: tuple[Story, dict[Digest, tuple[FileRecord, ...]]],
) -> None:
    data = written(*made)
    whole = read(io.BytesIO(data), lambda digest, records: None)

    def same_or_refused(wrong: bytes) -> bool:
        """True if it is refused; else it must be read as if nothing had happened to it."""
        try:
            assert read(io.BytesIO(wrong), lambda digest, records: None) == whole
        except BuildFailure as failure:
            assert failure.diagnostic.reference.startswith("store-records-")
            return True
        return False

    # The last bytes only say that the frame ends here, some bits of its head mean nothing to a reader.
    assert all(same_or_refused(data[:length]) for length in range(len(data) - 8))
    choose = random.Random(4)
    for _ in range(300):
        torn = bytearray(data)
        place = choose.randrange(len(data))
        torn[place] ^= 1 << choose.randrange(8)
        same_or_refused(bytes(torn))
