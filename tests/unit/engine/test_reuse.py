"""What the facts of a COPY tell of the files in its layer: the content by path, and nothing rather than half."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from tests.support.store_making import a_record

from lamina.digest import digest_of
from lamina.engine.reuse import copied_contents, earlier_layer
from lamina.keys.filetree import FileRecord
from lamina.keys.record import CacheRecord, KeyPart
from lamina.plan.steps import CopyOp, StageRef
from lamina.ports.layers import Earlier
from lamina.testing.world import MemoryWorld, memory_world

A, B, C = (name * 64 for name in "abc")


def file(path: str, content: str) -> FileRecord:
    return FileRecord(path, "file", 0o644, 1, content)


def copied(world: MemoryWorld, dest: str, *sources: Sequence[FileRecord], unpack: str = "") -> CacheRecord:
    """The record of a COPY of these sources, whose facts are kept, and whose layer is there."""
    parts = []
    for number, records in enumerate(sources):
        digest = digest_of(repr(records).encode())
        world.facts.put(digest, records)
        parts.append(KeyPart(f"source {number}", digest, files=digest))
    parts += [KeyPart("destination", dest), KeyPart("unpack", unpack)]
    with world.snapshots.begin(None) as work:
        diff = world.layers.diff(work.upper)
        snapshot = world.snapshots.commit(work, None, diff.diff_id, 0)
    record = a_record(result=snapshot.chain_id)
    return replace(record, key=replace(record.key, kind="copy", parts=tuple(parts)))


def test_paths_are_below_the_destination_and_later_sources_win() -> None:
    world = memory_world()
    record = copied(world, "/app/", [file("a", A), file("d/b", B)], [file("a", C)])
    assert copied_contents(record, world.world()) == {"app/a": C, "app/d/b": B}


def test_what_is_no_plain_file_hides_what_an_earlier_source_put_there() -> None:
    world = memory_world()
    marked = replace(file("b", B), xattrs=(("user.x", b""),))
    record = copied(world, "/", [file("a", A), file("b", B)], [FileRecord("a", "link", 0o777, target="x"), marked])
    assert copied_contents(record, world.world()) == {}


def test_without_the_facts_of_one_source_nothing_is_known() -> None:
    """It may have written over what another source put there."""
    world = memory_world()
    record = copied(world, "/app/", [file("a", A)], [file("a", C)])
    gone = record.key.parts[1].files
    assert gone is not None
    del world.facts.lists[gone]
    assert copied_contents(record, world.world()) is None


def test_a_single_file_may_land_at_the_destination_itself() -> None:
    world = memory_world()
    assert copied_contents(copied(world, "/app/x", [file("a", A)]), world.world()) == {"app/x/a": A, "app/x": A}


@pytest.mark.parametrize("name", ["unpack", "unpack 1"])
def test_nothing_is_known_of_what_archives_were_unpacked_to(name: str) -> None:
    world = memory_world()
    record = copied(world, "/app/", [file("a", A)])
    parts = (*record.key.parts, KeyPart(name, "yes"))
    assert copied_contents(replace(record, key=replace(record.key, parts=parts)), world.world()) is None


def op(**fields: object) -> CopyOp:
    given: dict[str, object] = {"sources": ("a",), "dest": "/app", "dest_is_dir": True, **fields}
    return CopyOp(**given)  # type: ignore[arg-type]


def test_who_shares_with_an_earlier_layer() -> None:
    world = memory_world()
    record = copied(world, "/app/", [file("a", A)])
    assert record.result is not None
    snapshot = world.snapshots.get(record.result)
    assert snapshot is not None
    contents = {"app/a": A, "app": A}
    for times in (False, True):
        assert earlier_layer(op(), record, world.world(), times=times) == Earlier(snapshot.layer, contents, times)
        assert earlier_layer(op(unpack=True), record, world.world(), times=times) is None
        assert earlier_layer(op(), None, world.world(), times=times) is None
        found = earlier_layer(op(origin=StageRef(0)), record, world.world(), times=times)
        assert (found is not None) == times
    world.snapshots.drop(snapshot.chain_id)
    assert earlier_layer(op(), record, world.world(), times=True) is None
