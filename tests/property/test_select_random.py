"""Selections over random trees equal what a look at every record finds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.dockerfile.globs import match
from lamina.dockerfile.ignore import parse_ignore
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


excludes = st.lists(st.sampled_from(["a", "b", "*", "**/a", "a/b", "!a", "!**/b", "a/*", "?"]), min_size=1, max_size=3)


@settings(max_examples=200, deadline=None)
@given(trees(), excludes)
def test_exclude_leaves_what_an_ignore_file_would(records: list[FileRecord], patterns: list[str]) -> None:
    rules = parse_ignore("\n".join(patterns).encode(), ".dockerignore")
    kept = {record.path for record in records if not rules.excluded(record.path)}
    above = {path[:at] for path in kept for at, char in enumerate(path) if char == "/"}
    (selection,) = select(records, ".", exclude=patterns)
    assert {record.path for record in selection.files} == kept | above
    assert list(selection.files) == [record for record in records if record.path in kept | above]


@settings(max_examples=200, deadline=None)
@given(trees(), path, st.integers(0, 3))
def test_parents_keep_a_path_and_what_leads_to_it(records: list[FileRecord], source: str, depth: int) -> None:
    parts = source.split("/")
    base = "/".join(parts[:depth]) if depth < len(parts) else ""
    written = f"{base}/./{'/'.join(parts[depth:])}" if base else source
    found = select(records, written, parents=True)
    chosen = [record.path for record in below(records, source)]
    if not chosen:
        assert found == ()
        return
    (selection,) = found
    leading = {"/".join(parts[:at]) for at in range(1, len(parts))}
    wanted = {*chosen, *(name for name in leading if name.startswith(f"{base}/" if base else ""))}
    assert (selection.base, selection.is_dir) == (base, True)
    assert {record.path for record in selection.files} == wanted


@settings(max_examples=100, deadline=None)
@given(trees(), path)
def test_without_the_flags_nothing_changes(records: list[FileRecord], source: str) -> None:
    assert select(records, source, exclude=("nothing-is-called-so",)) == select(records, source)
