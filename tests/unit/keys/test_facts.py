"""Comparing two lists of file records."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lamina.keys.facts import TOLD, FileChange, compare_trees, summed
from lamina.keys.filetree import FileRecord

FILE = FileRecord("f", "file", 0o644, 3, "aa")
LINK = FileRecord("l", "link", 0o777, target="x")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (FILE, FILE, []),
        (FILE, replace(FILE, size=9), []),
        (FILE, replace(FILE, content="bb"), [("content", "aa", "bb")]),
        (FILE, replace(FILE, mode=0o4755), [("mode", "0644", "4755")]),
        (FILE, replace(FILE, content="bb", mode=0o600), [("content", "aa", "bb"), ("mode", "0644", "0600")]),
        (FILE, replace(FILE, kind="link", content="", target="y", mode=0o777), [("type", "file", "link")]),
        (LINK, replace(LINK, target="y"), [("target", "x", "y")]),
        (FILE, replace(FILE, xattrs=(("user.a", b"1"),)), [("xattrs", "", "user.a")]),
        (FILE, replace(FILE, uid=1, gid=2), []),
    ],
)
def test_one_path(before: FileRecord, after: FileRecord, expected: list[tuple[str, str, str]]) -> None:
    changes = compare_trees([before], [after])
    assert [(change.kind, change.before, change.after) for change in changes] == expected
    assert all(change.path == before.path for change in changes)


def test_owners_on_demand() -> None:
    changes = compare_trees([FILE], [replace(FILE, uid=1, gid=2)], owners=True)
    assert changes == (FileChange("f", "owner", "0:0", "1:2"),)


def test_added_and_removed_are_sorted_among_the_rest() -> None:
    before = [replace(FILE, path=path) for path in ("a", "c", "d", "z")]
    after = [replace(FILE, path="b"), replace(FILE, path="c", content="bb"), replace(LINK, path="y")]
    assert [(change.path, change.kind, change.before, change.after) for change in compare_trees(before, after)] == [
        ("a", "removed", "file", ""),
        ("b", "added", "", "file"),
        ("c", "content", "aa", "bb"),
        ("d", "removed", "file", ""),
        ("y", "added", "", "link"),
        ("z", "removed", "file", ""),
    ]


def test_from_and_to_nothing() -> None:
    assert [change.kind for change in compare_trees([], [FILE, LINK])] == ["added", "added"]
    assert [change.kind for change in compare_trees([FILE, LINK], [])] == ["removed", "removed"]
    assert compare_trees([], []) == ()


def test_what_alone_differs() -> None:
    modes = compare_trees([FILE, LINK], [replace(FILE, mode=0o664), replace(LINK, mode=0o775)])
    assert summed(modes).sole == "mode"
    assert summed(()).sole == ""
    assert summed(compare_trees([FILE], [replace(FILE, mode=0o664, content="bb")])).sole == ""
    assert summed((*modes, FileChange("x", "added", "", "file"))).sole == ""
    git = (FileChange(".git/HEAD", "content", "1", "2"), FileChange("sub/.git/index", "added", "", "file"))
    assert summed(git).sole == "git"
    assert summed((*git, FileChange(".gitignore", "content", "1", "2"))).sole == ""
    assert summed((FileChange("a", "line-ends", "1", "2"),)).sole == "line-ends"


def test_what_a_file_is_is_told_before_what_is_said_about_it() -> None:
    changes = [
        FileChange(".git/index", "content", "1", "2"),
        FileChange("a", "mode", "0644", "0664"),
        FileChange("b", "added", "", "file"),
        FileChange("c", "content", "1", "2"),
    ]
    found = summed(changes)
    assert [change.path for change in found.changes] == ["c", "b", "a", ".git/index"]
    assert (found.total, found.sole) == (4, "")


def test_many_changes_are_counted_and_some_told() -> None:
    found = summed([FileChange(f"{number:03}", "mode", "0644", "0664") for number in range(500)])
    assert (len(found.changes), found.total, found.sole) == (TOLD, 500, "mode")
    assert found.changes[0].path == "000"
