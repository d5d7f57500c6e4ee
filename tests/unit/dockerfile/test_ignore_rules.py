"""Ignore files: Docker's traps one by one."""

from __future__ import annotations

import pytest

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import parse_ignore


@pytest.mark.parametrize(
    ("lines", "out", "kept"),
    [
        ("bar", "bar bar/x bar/x/y", "a/bar foobar bar2"),
        ("/bar", "bar bar/x", "a/bar"),
        ("a/b", "a/b a/b/c", "a b x/a/b"),
        ("./a//b/../c/", "a/c a/c/d", "a a/b"),
        ("*", "a a/b .git", ""),
        ("*.py", "a.py a.py/x", "d/a.py a.pyc"),
        ("*/*.py", "d/a.py", "a.py d/e/a.py"),
        ("**/*.py", "a.py d/a.py d/e/a.py", "a.pyc"),
        ("**/bar", "bar a/bar a/b/bar bar/x", "foobar a/foobar"),
        ("**bar", "bar foobar a/foobar a/bar/x", "barx"),
        ("**/ba?", "bar a/baz", "foobar"),
        ("**ba?", "bar a/baz", "foobar"),
        ("dir/**", "dir/a dir/a/b", "dir dirx"),
        ("dir**", "dir dirx dir/a dirx/a", "xdir"),
        ("a/**/b", "a/b a/x/b a/x/y/b a/b/c", "a a/x ab"),
        ("a/**/b/**", "a/b/x a/y/b/x", "a/b a/y/b"),
        ("**", "a a/b .x", ""),
        ("**/**", "a a/b", ""),
        ("?", "a b", "ab a.b"),
        ("a?b", "axb", "a/b ab"),
        ("[a-c]x", "ax cx", "dx"),
        ("[^a]x", "bx", "ax"),
        ("a.b", "a.b", "axb"),
        ("a+(b)|$^", "a+(b)|$^", "aab"),
        ("\\*", "*", "a"),
        (".", "", "a a/b .git"),
        ("/", "", "a a/b"),
        ("..", "", "a"),
        ("# comment", "", "# comment"),
        (" #x", "#x", "x"),
        ("\\#x", "#x", "x"),
        ("\t a  ", "a", "b"),
        ("a b", "a b", "a"),
        ("\n\na\n\n", "a", "b"),
        ("a\r\nb\r\n", "a b", "c"),
        # Order and negation.
        ("*\n!a", "b b/c", "a a/x"),
        ("!a\n*", "a b", ""),
        ("s/t\n!s/t/a.md", "s/t s/t/b s/t/x/a.md", "s s/t/a.md"),
        ("*.md\n!README.md", "x.md", "README.md"),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md x.md", "README.md"),
        ("a\n!  a", "", "a"),
        ("a\n!/a", "", "a"),
        ("**\n!src/**\nsrc/**/x", "src a src/x src/a/x", "src/a src/a/b"),
        ("!!a", "", "!a a"),
        ("./!a\na", "a", "b"),
        ("", "", "a"),
    ],
)
def test_rules(lines: str, out: str, kept: str) -> None:
    rules = parse_ignore(lines.encode(), ".dockerignore")
    for path in _listed(lines, out):
        assert rules.excluded(path), path
    for path in _listed(lines, kept):
        assert not rules.excluded(path), path


def _listed(lines: str, paths: str) -> list[str]:
    """The one path of a case about blanks in names, the paths at blanks otherwise."""
    return [paths] if lines == "a b" else paths.split()


def test_a_byte_order_mark_is_no_part_of_the_first_pattern() -> None:
    assert parse_ignore(b"\xef\xbb\xbfa\n", "i").excluded("a")


def test_names_that_are_no_utf8_can_be_matched() -> None:
    name = b"caf\xe9".decode(errors="surrogateescape")
    assert parse_ignore(b"caf\xe9\n", "i").excluded(name)
    assert parse_ignore(b"caf?\n", "i").excluded(name)


@pytest.mark.parametrize("line", ["!", "!  ", "!/", "[", "a[", "[]a]", "[z-a]", "x\\", "!["])
def test_bad_patterns(line: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_ignore(f"ok\n {line}\n".encode(), ".dockerignore")
    diagnostic = caught.value.diagnostic
    assert diagnostic.reference == "context-bad-ignore-pattern"
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.column, diagnostic.span.end_column) == (2, 2, 2 + len(line.strip()))


def test_the_deciding_rule_is_the_last_that_matches() -> None:
    rules = parse_ignore(b"# note\n*.md\n  !docs\nREADME.md\n", "ignore")
    rule = rules.deciding_rule("README.md")
    assert rule is not None
    assert (rule.pattern, rule.negated, rule.span.line) == ("README.md", False, 4)
    back = rules.deciding_rule("docs/deep/x.md")
    assert back is not None
    assert (back.pattern, back.negated, back.span.line, back.span.column, back.span.end_column) == (
        "!docs", True, 3, 3, 8,
    )  # fmt: skip
    assert rules.deciding_rule("src/main.c") is None


@pytest.mark.parametrize(
    ("lines", "directory", "may"),
    [
        ("a", "a", False),
        ("a", "b", True),
        ("a\n!a/b/c", "a", True),
        ("a\n!a/b/c", "a/b", True),
        ("a\n!a/b/c", "a/x", False),
        ("a\n!x/b", "a", False),
        ("!a/b\na", "a", False),
        ("*\n!src", "node_modules", False),
        ("*\n!src", "src", True),
        ("*\n!**/keep", "any", True),
        ("*\n!src/**/keep", "any", False),
        ("*\n!src/**/keep", "src/x/y", True),
        ("*\n!*/keep", "any", True),
        ("*\n!*/keep", "any/thing", False),
        ("dir/**", "dir", True),
        ("a\n!a/b", "a/b", True),
    ],
)
def test_a_walk_may_skip_only_what_holds_nothing(lines: str, directory: str, may: bool) -> None:
    assert parse_ignore(lines.encode(), "i").may_hold_included(directory) is may
