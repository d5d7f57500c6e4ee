"""The words of `lamina context`."""

from __future__ import annotations

import pytest

from lamina.context.inspect import Reason, usage
from lamina.explain.context import Told
from lamina.report.context import entry_lines, heaviest, reason_lines, visible
from lamina.testing.context import MemoryContext


def test_a_directory_gives_way_to_the_one_thing_in_it() -> None:
    context = MemoryContext({"a/b/big": b"x" * 900, "c/d": b"x" * 30, "c/e": b"x" * 20, "zero": b""})
    assert heaviest(usage(context.entries()), 4) == [
        "900B           a/b/big",
        "50B   2 files  c/",
        "30B            c/d",
        "20B            c/e",
    ]
    assert heaviest(usage(context.entries()), 1) == ["900B    a/b/big"]
    assert heaviest(usage([]), 5) == []


def test_entries_and_empty_directories() -> None:
    context = MemoryContext({"a/b": b"xy"}, links={"l": "a"}, dirs=["empty/er"])
    assert entry_lines(context.entries()) == ["2B    a/b", "dir   empty/er/", "link  l -> a"]


def test_what_cannot_be_seen() -> None:
    reason = Reason("a/b", "unreadable", None, "a: Permission denied")
    assert reason_lines("a/b", reason, Told("a/b", None), (), ()) == [
        "a/b: cannot be seen, as a directory cannot be read",
        "  a: Permission denied",
    ]


def test_a_file_that_nothing_takes() -> None:
    reason = Reason("a", "included")
    told = ["a: in the context: no rule speaks of it", "  no instruction takes it"]
    assert reason_lines("a", reason, Told("a", "file"), (), ()) == told
    assert reason_lines("a", reason, Told("a", "file"), None, ()) == told[:1]


@pytest.mark.parametrize(("path", "expected"), [("a b", "a b"), ("é", "é"), ("\x1b]", "\\x1b]"), ("\udce9", "\ufffd")])
def test_what_a_terminal_sees(path: str, expected: str) -> None:
    assert visible(path) == expected
