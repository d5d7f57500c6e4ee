"""A shell's command line, cut into commands without running anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.dockerfile.shellcommands import shell_commands


def words(text: str) -> list[tuple[str, ...]]:
    return [one.words for one in shell_commands(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("make", [("make",)]),
        ("a && b || c; d | e & f", [("a",), ("b",), ("c",), ("d",), ("e",), ("f",)]),
        ("a\nb", [("a",), ("b",)]),
        ("a 'b c' \"d e\" f\\ g", [("a", "b c", "d e", "f g")]),
        ("a 'b && c'", [("a", "b && c")]),
        ('a "$(b && c | d)" e', [("a", "$(b && c | d)", "e")]),
        ("a ${B:-c d} `e f`", [("a", "${B:-c d}", "`e f`")]),
        ("a > b 2>&1 < c >> d", [("a",)]),
        ("a 2>/dev/null b", [("a", "b")]),
        ("A=1 B='2 3' make all", [("make", "all")]),
        ("env A=1 make", [("make",)]),
        ("sudo make", [("make",)]),
        ("sudo -u x make", [("sudo", "-u", "x", "make")]),
        ("( a; b ) && { c; d; }", [("a",), ("b",), ("c",), ("d",)]),
        ("if a; then b; elif c; then d; else e; fi", [("a",), ("b",), ("c",), ("d",), ("e",)]),
        ("for x in a b; do c $x; done", [("c", "$x")]),
        ("while a; do b; done; c", [("a",), ("b",), ("c",)]),
        ("! a && time b", [("a",), ("b",)]),
        ("a # b && c\nd", [("a",), ("d",)]),
        ("a b#c", [("a", "b#c")]),
        # Heredocs are no commands.
        ("cat <<X > f\nb\nX\nc", [("cat",), ("c",)]),
        ("cat <<-'X' <<Y && b\n$(\n\tX\nc\nY\nd", [("cat",), ("b",), ("d",)]),
        ("cat <<X\nb", []),
        ("cat <<<X\nb", [("cat",), ("b",)]),
        ("set -eux; \ta", [("set", "-eux"), ("a",)]),
        ("", []),
        ("a 'b", []),
        ("a $(b", []),
        ("a `b", []),
        ('a "b', []),
    ],
)
def test_commands(text: str, expected: list[tuple[str, ...]]) -> None:
    assert words(text) == expected


def test_what_may_not_run_is_told_apart() -> None:
    commands = shell_commands("a; if b; then c; fi; d || e; f")
    assert {one.words[0]: one.always for one in commands} == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
        "e": False,
        "f": True,
    }


def test_operators_and_assignments_are_kept() -> None:
    first, second = shell_commands("A=1 /usr/bin/x && y")
    assert (first.env, first.program, first.joined) == (("A=1",), "x", "")
    assert (second.env, second.program, second.joined) == ((), "y", "&&")


@given(st.text(alphabet="ab $(){}`'\"\\|&;<>#\n=-", max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    for one in shell_commands(text):
        assert one.words or one.env
