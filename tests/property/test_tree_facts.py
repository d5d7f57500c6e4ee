"""Trees at random: the digest tells apart what differs, and the comparison says what."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lamina.keys.facts import compare_trees
from lamina.keys.filetree import FileRecord, tree_digest

names = st.text("ab/ 0", min_size=1, max_size=4)
xattrs = st.lists(st.tuples(st.sampled_from(["user.a", "user.b"]), st.binary(max_size=3)), max_size=2, unique=True)


@st.composite
def records(draw: st.DrawFn) -> FileRecord:
    kind = draw(st.sampled_from(["file", "dir", "link"]))
    text = draw(names)
    return FileRecord(
        draw(names),
        kind,  # type: ignore[arg-type]
        draw(st.sampled_from([0o644, 0o6440, 0o755, 0])),
        content=text if kind == "file" else "",
        target=text if kind == "link" else "",
        uid=draw(st.sampled_from([0, 1, 10])),
        gid=draw(st.sampled_from([0, 1, 10])),
        xattrs=tuple(sorted(draw(xattrs))),
    )


def by_path(found: list[FileRecord]) -> list[FileRecord]:
    return sorted(found, key=lambda record: record.path)


trees = st.lists(records(), max_size=4, unique_by=lambda record: record.path).map(by_path)


def bare(tree: list[FileRecord], owners: bool) -> list[FileRecord]:
    return tree if owners else [replace(record, uid=0, gid=0) for record in tree]


@settings(max_examples=400, deadline=None)
@given(trees, trees, st.booleans())
def test_equal_digests_mean_equal_trees(left: list[FileRecord], right: list[FileRecord], owners: bool) -> None:
    same = tree_digest(left, owners=owners) == tree_digest(right, owners=owners)
    assert same == (bare(left, owners) == bare(right, owners))
    assert same == (not compare_trees(left, right, owners=owners))


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[FileRecord], list[FileRecord]]:
    """A tree and the same with one record changed in one way."""
    tree = draw(trees.filter(bool))
    index = draw(st.integers(0, len(tree) - 1))
    record = tree[index]
    path = draw(names.filter(lambda name: all(name != other.path for other in tree)))
    after = draw(
        st.sampled_from(
            [
                replace(record, path=path),
                replace(record, mode=record.mode ^ 0o100),
                replace(record, xattrs=(*record.xattrs, ("user.z", b""))),
                replace(record, content="changed") if record.kind == "file" else replace(record, target="changed"),
                replace(record, kind="fifo"),
            ]
        )
    )
    return tree, by_path([*tree[:index], after, *tree[index + 1 :]])


@settings(max_examples=300, deadline=None)
@given(edited())
def test_every_single_edit_shows(trees: tuple[list[FileRecord], list[FileRecord]]) -> None:
    before, after = trees
    assert tree_digest(before) != tree_digest(after)
    assert compare_trees(before, after)


@settings(max_examples=200, deadline=None)
@given(trees.filter(lambda tree: len(tree) > 1))
def test_contents_that_change_places_show(tree: list[FileRecord]) -> None:
    first, second = tree[0], tree[1]
    swapped = [replace(second, path=first.path), replace(first, path=second.path), *tree[2:]]
    assert (tree_digest(swapped) == tree_digest(tree)) == (bare(swapped, False) == bare(tree, False))


@settings(max_examples=200, deadline=None)
@given(trees, trees)
def test_a_comparison_is_sorted_and_turns_around(left: list[FileRecord], right: list[FileRecord]) -> None:
    forward, back = compare_trees(left, right), compare_trees(right, left)
    assert [change.path for change in forward] == sorted(change.path for change in forward)
    assert [(change.path, change.before, change.after) for change in forward] == [
        (change.path, change.after, change.before) for change in back
    ]
