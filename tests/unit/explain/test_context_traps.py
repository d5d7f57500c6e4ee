"""Ignore rules that do something else than they seem to."""

from __future__ import annotations

import pytest
from tests.unit.explain.test_context import left, records, rules_of_lines

from lamina.explain.ignore_traps import traps

BOTH = "logs/* in place of logs means the same to both"
LITERAL = "a backslash makes the next character literal; directories are parted by /"


def found(lines: str, files: str) -> list[tuple[str, int, str | None]]:
    """Kind, line and hint of each trap; `lines` and `files` are parted by blanks."""
    rules = rules_of_lines(*lines.split(" "))
    everything = records(*files.split(" "))
    told = traps(everything, left(everything, rules), rules)
    return [(one.reference.removeprefix("context-ignore-"), one.span.line if one.span else 0, one.hint) for one in told]


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        # A bare name holds at the root alone.
        ("node_modules", "web/node_modules/x node_modules/y", [("root-only", 1, "write **/node_modules")]),
        ("node_modules", "web/node_modules/x", [("root-only", 1, "write **/node_modules")]),
        ("a *.pyc", "a x.pyc d/x.pyc", [("root-only", 2, "write **/*.pyc")]),
        ("*.pyc **/*.pyc", "x.pyc d/x.pyc", []),
        ("*.pyc d", "x.pyc d/x.pyc", []),
        ("* !src", "src/a b", []),
        ("**/*.md !README.md", "README.md d/README.md x.md", [("root-only", 2, "write !**/README.md")]),
        ("d *.md !README.md", "README.md d/README.md x.md", []),
        ("logs", "logs/a .git/logs/b", []),
        # Slashes.
        ("logs/", "logs/a", []),
        ("logs/", "web/logs/a logs/b", [("root-only", 1, "write **/logs")]),
        ("logs/", "logs", [("trailing-slash", 1, "write logs/** for what is below directories alone")]),
        ("/docs", "docs/a", [("leading-slash", 1, "write **/docs to match it at any depth")]),
        # A file below what is kept out.
        ("logs !logs/keep", "logs/a logs/keep", [("below-excluded", 2, BOTH)]),
        ("logs/* !logs/keep", "logs/a logs/keep", []),
        ("* !src", "src/a/b c", []),
        # Nothing.
        ("gone", "here", [("unmatched", 1, None)]),
        ("# \\#x", "here", [("unmatched", 2, LITERAL)]),
        ("../x", "x", [("unmatched", 1, "patterns are paths below the root of the context")]),
        ("!gone", "here", [("unmatched", 1, None)]),
        ("a/b", "a/b", []),
    ],
)  # fmt: skip
def test_traps(lines: str, files: str, expected: list[tuple[str, int, str | None]]) -> None:
    assert found(lines, files) == expected


def test_comments_that_are_none() -> None:
    everything = records("a.log")
    rules = rules_of_lines(" # note", "*.log # all of them")
    told = traps(everything, everything, rules)
    assert [one.hint for one in told] == [
        "a comment begins in the first column",
        "a comment stands on a line of its own: here the # is part of the pattern",
    ]


def test_a_finding_is_a_diagnostic_with_its_place_and_numbers() -> None:
    rules = rules_of_lines("# first", "*.pyc")
    everything = records("a/x.pyc", "a/y.pyc", "z.pyc")
    (told,) = traps(everything, left(everything, rules), rules)
    assert told.severity == "warning"
    assert told.span is not None and (told.span.file, told.span.line) == (".dockerignore", 2)
    assert told.message == "*.pyc matches at the root of the context alone: 2 files stay in, see 'a/x.pyc'"
    assert traps(everything, everything, None) == ()
