"""Selections over random trees equal what a look at every record finds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.dockerfile.globs import match
from lamina.keys.filetree import FileRecord
from lamina.keys.select import select
from lamina.testing.context import MemoryContext

component = st.sampled_from(["a", "b", "a-b", "a0", "é", "A"])
path = st.lists(component, min_size=1, max_size=4).map("/".join)
pattern = st.lists(st.sampled_from(["a", "b", "a-b", "*", "?", "a*", "[ab]", "*[^0]"]), min_size=1, max_size=3)


@st.composite
def trees(draw: st.DrawFn) -> list[FileRecord]:
    files: list[str] = []
    for name in draw(st.lists(path, max_size=10)):
        if not any(f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/") for other in files):
            files.append(name)
    return list(MemoryContext(dict.fromkeys(files, b"")).entries())


def below(records: list[FileRecord], base: str) -> tuple[FileRecord, ...]:
    return tuple(record for record in records if f"{record.path}/".startswith(f"{base}/"))


@settings(max_examples=300, deadline=None)
@given(trees(), path)
def test_literals(records: list[FileRecord], source: str) -> None:
    found = select(records, source)
    if not any(record.path == source for record in records):
        assert found == ()
    else:
        (selection,) = found
        assert (selection.base, selection.files) == (source, below(records, source))


@settings(max_examples=300, deadline=None)
@given(trees(), pattern)
def test_patterns(records: list[FileRecord], parts: list[str]) -> None:
    def matches(name: str) -> bool:
        names = name.split("/")
        return len(names) == len(parts) and all(match(*pair) for pair in zip(parts, names, strict=True))

    expected = [record.path for record in records if matches(record.path)]
    found = select(records, "/".join(parts))
    assert [selection.base for selection in found] == sorted(expected, key=lambda name: name.split("/"))
    assert all(selection.files == below(records, selection.base) for selection in found)
