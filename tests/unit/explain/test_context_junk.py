"""Well-known junk in a context, and the lines that keep it out."""

from __future__ import annotations

import pytest
from tests.unit.explain.test_context import left, records, rules_of_lines

from lamina.explain.junk import suggestions
from lamina.testing.context import MemoryContext


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (".git/HEAD", "**/.git"),
        ("lib/sub/.git/HEAD", "**/.git"),
        ("web/node_modules/a/i.js", "**/node_modules"),
        ("a/__pycache__/x.pyc", "**/__pycache__"),
        ("a/x.pyc", "**/*.py[co]"),
        (".venv/bin/python", "**/.venv"),
        ("venv/bin/python", "**/venv"),
        (".pytest_cache/x", "**/.pytest_cache"),
        (".mypy_cache/x", "**/.mypy_cache"),
        (".tox/py/x", "**/.tox"),
        (".idea/x.xml", "**/.idea"),
        ("dist/app.js", "dist"),
        ("build/app.o", "build"),
        (".env", "**/.env"),
        ("api/.env.local", "**/.env.*"),
        ("a/debug.log", "**/*.log"),
    ],
)
def test_junk_is_found(path: str, pattern: str) -> None:
    (found,) = suggestions(records(path, "src/main.c"), None)
    assert (found.pattern, found.files, found.size) == (pattern, 1, 2)
    assert path.startswith(found.example)
    # The line does what it is suggested for.
    everything = records(path, "src/main.c")
    assert suggestions(left(everything, rules_of_lines(found.pattern)), rules_of_lines(found.pattern)) == ()


@pytest.mark.parametrize(
    "path",
    ["src/main.c", "src/build/x.py", "lib/dist/x", "node_modules", "dist", ".env.example", "log", "gitx/.gitignore"],
)
def test_what_is_no_junk(path: str) -> None:
    assert suggestions(records(path), None) == ()


def test_what_lies_in_junk_counts_once_and_the_biggest_comes_first() -> None:
    files = {
        "node_modules/a/__pycache__/x.pyc": b"x" * 50,
        "node_modules/a/n.log": b"x",
        "b.log": b"x" * 7,
        ".env": b"",
    }
    found = suggestions(MemoryContext(files).entries(), None)
    assert [(one.pattern, one.files, one.size, one.example) for one in found] == [
        ("**/node_modules", 2, 51, "node_modules"),
        ("**/*.log", 1, 7, "b.log"),
        ("**/.env", 1, 0, ".env"),
    ]


def test_what_the_dockerfile_names_is_wanted() -> None:
    everything = records("dist/app.js", "dist/debug.log", "node_modules/x")
    assert [one.pattern for one in suggestions(everything, None, ["dist"])] == ["**/*.log", "**/node_modules"]
    assert [one.pattern for one in suggestions(everything, None, ["dist/app.js", "node_modules"])] == ["**/*.log"]
    assert len(suggestions(everything, None, [""])) == 2


def test_what_is_brought_back_is_wanted() -> None:
    everything = records(".env", "src/.env", "src/build.log")
    rules = rules_of_lines("*", "!src", "!.env")
    assert [one.example for one in suggestions(left(everything, rules), rules)] == ["src/build.log", "src/.env"]
