"""Why a path is in the context or not, and what things weigh."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.context.inspect import Usage, usage, why
from lamina.context.reader import DirectoryContext
from lamina.dockerfile.ignore import parse_ignore
from lamina.testing.context import MemoryContext

IGNORE = b"# keep it small\nnode_modules\n*.log\n!keep.log\n"


@pytest.mark.parametrize(
    ("path", "fate", "pattern", "line"),
    [
        ("app/main.py", "included", None, None),
        ("./app//main.py", "included", None, None),
        ("keep.log", "included", "!keep.log", 4),
        ("build.log", "excluded", "*.log", 3),
        ("node_modules/x/y.js", "excluded", "node_modules", 2),
        ("gone.log", "excluded", "*.log", 3),
        ("missing", "missing", None, None),
        (".", "included", None, None),
    ],
)
def test_why(tmp_path: Path, path: str, fate: str, pattern: str | None, line: int | None) -> None:
    for name in ("app/main.py", "keep.log", "build.log", "node_modules/x/y.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rules = parse_ignore(IGNORE, ".dockerignore")
    with DirectoryContext(tmp_path, rules=rules) as context:
        told = why(context.scanned, rules, path)
    assert told.fate == fate
    assert (told.rule.pattern if told.rule else None) == pattern
    assert (told.rule.span.line if told.rule else None) == line


def test_why_without_rules(tmp_path: Path) -> None:
    with DirectoryContext(tmp_path) as context:
        assert why(context.scanned, None, "x").fate == "missing"


def test_usage() -> None:
    context = MemoryContext(
        {"a/big": b"x" * 100, "a/b/small": b"x", "top": b"xx", "zero": b""}, links={"l": "top"}, dirs=["bare"]
    )
    assert usage(context.entries()) == (
        Usage("", True, 4, 103),
        Usage("a", True, 2, 101),
        Usage("a/big", False, 1, 100),
        Usage("top", False, 1, 2),
        Usage("a/b", True, 1, 1),
        Usage("a/b/small", False, 1, 1),
        Usage("bare", True, 0, 0),
        Usage("l", False, 0, 0),
        Usage("zero", False, 1, 0),
    )


def test_usage_of_nothing() -> None:
    assert usage([]) == (Usage("", True, 0, 0),)
