"""COPY sources over sorted records, by table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lamina.diagnostics import BuildFailure, Span
from lamina.keys.filetree import FileRecord
from lamina.keys.select import clean, has_wildcard, near, select
from lamina.testing.context import MemoryContext

NAMES = """
    Pipfile Pipfile.lock README.md app/main.py app/models/user.py app/models/__init__.py app-old/main.py app0
    docs/a.md docs/b.md docs/img/x.png odd/[a] odd/a odd/st*r odd/b\\c requirements.txt
    deep/1/x/f deep/2/x/f deep/2/y/f
"""
RECORDS: Sequence[FileRecord] = MemoryContext(
    dict.fromkeys(NAMES.split(), b""),
    links={
        "to-file": "README.md",
        "to-dir": "app/models",
        "app/up": "../docs",
        "absolute": "/docs/img",
        "escaping": "../../../etc/passwd",
        "clipped": "../../README.md",
        "dangling": "nowhere",
        "loop": "loop2",
        "loop2": "loop",
        "chain": "to-dir",
        "docs/link": "a.md",
        "through": "to-dir/user.py",
    },
    dirs=["empty"],
).entries()


def found(source: str, **options: Any) -> list[tuple[str, list[str]]]:
    return [(each.base, [record.path for record in each.files]) for each in select(RECORDS, source, **options)]


MODELS = ["app/models", "app/models/__init__.py", "app/models/user.py"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Pipfile", [("Pipfile", ["Pipfile"])]),
        ("./Pipfile", [("Pipfile", ["Pipfile"])]),
        ("/Pipfile", [("Pipfile", ["Pipfile"])]),
        ("../../Pipfile", [("Pipfile", ["Pipfile"])]),
        ("app/../Pipfile", [("Pipfile", ["Pipfile"])]),
        ("Pipfile/", [("Pipfile", ["Pipfile"])]),
        ("app/models", [("app/models", MODELS)]),
        ("app//models/", [("app/models", MODELS)]),
        ("app/models/.", [("app/models", MODELS)]),
        ("app", [("app", ["app", "app/main.py", *MODELS, "app/up"])]),
        ("empty", [("empty", ["empty"])]),
        ("missing", []),
        ("app/missing", []),
        ("Pipfile/below-a-file", []),
        ("ap", []),
        ("pipfile", []),
        # wildcards
        ("Pipfile*", [("Pipfile", ["Pipfile"]), ("Pipfile.lock", ["Pipfile.lock"])]),
        ("app*", [("app", ["app", "app/main.py", *MODELS, "app/up"]), ("app-old", ["app-old", "app-old/main.py"]),
                  ("app0", ["app0"])]),
        ("docs/?.md", [("docs/a.md", ["docs/a.md"]), ("docs/b.md", ["docs/b.md"])]),
        ("docs/[a-b].md", [("docs/a.md", ["docs/a.md"]), ("docs/b.md", ["docs/b.md"])]),
        ("docs/[^b].md", [("docs/a.md", ["docs/a.md"])]),
        ("*/main.py", [("app/main.py", ["app/main.py"]), ("app-old/main.py", ["app-old/main.py"])]),
        ("deep/*/x", [("deep/1/x", ["deep/1/x", "deep/1/x/f"]), ("deep/2/x", ["deep/2/x", "deep/2/x/f"])]),
        ("d*p/2/?/f", [("deep/2/x/f", ["deep/2/x/f"]), ("deep/2/y/f", ["deep/2/y/f"])]),
        ("*.nothing", []),
        ("missing/*", []),
        ("Pipfile/*", []),
        ("odd/[[]a]", [("odd/[a]", ["odd/[a]"])]),
        ("odd/st\\*?", [("odd/st*r", ["odd/st*r"])]),
        ("odd/b\\c", [("odd/b\\c", ["odd/b\\c"])]),
        ("odd/[a]", [("odd/a", ["odd/a"])]),
        # links
        ("to-file", [("to-file", ["README.md"])]),
        ("to-dir", [("app/models", MODELS)]),
        ("to-dir/user.py", [("to-dir/user.py", ["app/models/user.py"])]),
        ("to-dir/*.py", [("app/models/__init__.py", ["app/models/__init__.py"]),
                         ("app/models/user.py", ["app/models/user.py"])]),
        ("chain", [("app/models", MODELS)]),
        ("through", [("through", ["app/models/user.py"])]),
        ("app/up/img", [("docs/img", ["docs/img", "docs/img/x.png"])]),
        ("absolute", [("docs/img", ["docs/img", "docs/img/x.png"])]),
        ("clipped", [("clipped", ["README.md"])]),
        ("escaping", []),
        ("dangling", []),
        ("loop", []),
        ("dang*", [("dangling", ["dangling"])]),
        ("to-f*", [("to-file", ["README.md"])]),
        ("to-d*", [("app/models", MODELS)]),
        ("docs", [("docs", ["docs", "docs/a.md", "docs/b.md", "docs/img", "docs/img/x.png", "docs/link"])]),
    ],
)  # fmt: skip
def test_sources(source: str, expected: list[tuple[str, list[str]]]) -> None:
    assert found(source) == expected


@pytest.mark.parametrize("source", [".", "/", "./", "..", "app/..", ""])
def test_the_whole_context(source: str) -> None:
    (whole,) = select(RECORDS, source)
    assert (whole.base, whole.is_dir) == ("", True)
    assert whole.files == tuple(RECORDS)


def test_a_directory_comes_first_of_its_own_files() -> None:
    (selection,) = select(RECORDS, "app")
    assert selection.is_dir
    assert selection.files[0].path == "app"
    assert selection.files[0].kind == "dir"


def test_a_file_is_no_directory() -> None:
    (selection,) = select(RECORDS, "to-file")
    assert not selection.is_dir
    assert selection.files[0].kind == "file"


def test_a_malformed_pattern() -> None:
    span = Span("Dockerfile", 3, 6, 3, 13)
    for records in (RECORDS, ()):
        with pytest.raises(BuildFailure) as caught:
            select(records, "docs/[a", span=span)
        assert (caught.value.diagnostic.reference, caught.value.diagnostic.span) == ("dockerfile-bad-pattern", span)


def test_an_empty_context() -> None:
    assert select([], "a") == select([], "*") == ()
    assert select([], ".")[0].files == ()


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a", False), ("a*", True), ("a?", True), ("[a]", True), ("a\\*", False), ("a\\\\*", True), ("b/]", False)],
)
def test_has_wildcard(source: str, expected: bool) -> None:
    assert has_wildcard(source) is expected


def test_clean() -> None:
    assert clean("/a/./b//../c/") == ["a", "c"]
    assert clean("../..") == []


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("pipfile", "Pipfile"),
        ("requirement.txt", "requirements.txt"),
        ("app/main.pyy", "app/main.py"),
        ("main.py", "app-old/main.py"),
        ("DOCS/A.md", "docs/a.md"),
        ("user.py", "app/models/user.py"),
        ("nowhere/near/x.png", "docs/img/x.png"),
    ],
)
def test_near(source: str, first: str) -> None:
    assert near(RECORDS, source)[0] == first


@pytest.mark.parametrize("source", [".", "zzzzzzzz", "zzz/qqq"])
def test_near_knows_when_nothing_is(source: str) -> None:
    assert near(RECORDS, source) == ()


def test_near_is_short() -> None:
    records = MemoryContext({f"d{number}/same": b"" for number in range(20)}).entries()
    assert len(near(records, "same")) == 5


# --- --parents and --exclude -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "base", "files"),
    [
        ("Pipfile", "", ["Pipfile"]),
        ("./Pipfile", "", ["Pipfile"]),
        ("../Pipfile", "", ["Pipfile"]),
        ("app/models/user.py", "", ["app", "app/models", "app/models/user.py"]),
        ("app/./models/user.py", "app", ["app/models", "app/models/user.py"]),
        ("./app/./models/user.py", "app", ["app/models", "app/models/user.py"]),
        ("/./docs/b.md", "", ["docs", "docs/b.md"]),
        ("app/models", "", ["app", *MODELS]),
        ("docs/*.md", "", ["docs", "docs/a.md", "docs/b.md"]),
        ("**/f", "", ["deep", *(f"deep/{n}" for n in ("1", "1/x", "1/x/f", "2", "2/x", "2/x/f", "2/y", "2/y/f"))]),
        ("deep/*/x", "", ["deep", "deep/1", "deep/1/x", "deep/1/x/f", "deep/2", "deep/2/x", "deep/2/x/f"]),
        (
            "deep/./**/f",
            "deep",
            ["deep/1", "deep/1/x", "deep/1/x/f"] + [f"deep/2{n}" for n in ("", "/x", "/x/f", "/y", "/y/f")],
        ),
        ("empty", "", ["empty"]),
    ],
)
def test_parents_keep_the_directories_below_the_pivot(source: str, base: str, files: list[str]) -> None:
    assert found(source, parents=True) == [(base, files)]


@pytest.mark.parametrize("source", ["missing", "app/./missing", "missing/./app", "**/missing", "app/mai"])
def test_parents_of_nothing(source: str) -> None:
    assert found(source, parents=True) == []


@pytest.mark.parametrize(
    ("source", "exclude", "expected"),
    [
        ("docs", ("*.md",), [("docs", ["docs", "docs/img", "docs/img/x.png", "docs/link"])]),
        ("docs", ("img",), [("docs", ["docs", "docs/a.md", "docs/b.md", "docs/link"])]),
        ("docs", ("*", "!b.md"), [("docs", ["docs", "docs/b.md"])]),
        ("docs", ("**/*.png",), [("docs", ["docs", "docs/a.md", "docs/b.md", "docs/img", "docs/link"])]),
        ("docs", ("*", "!img/x.png"), [("docs", ["docs", "docs/img", "docs/img/x.png"])]),
        ("docs", ("docs",), [("docs", ["docs", "docs/a.md", "docs/b.md", "docs/img", "docs/img/x.png", "docs/link"])]),
        ("Pipfile*", ("*.lock",), [("Pipfile", ["Pipfile"])]),
        ("Pipfile", ("Pipfile",), []),
        ("app/m*", ("__init__.py",), [("app/main.py", ["app/main.py"]), ("app/models", [MODELS[0], MODELS[2]])]),
    ],
)
def test_exclude_counts_from_what_is_copied(
    source: str, exclude: tuple[str, ...], expected: list[tuple[str, list[str]]]
) -> None:
    assert found(source, exclude=exclude) == expected


def test_exclude_with_parents_counts_from_the_pivot() -> None:
    assert found("app/./**/*.py", parents=True, exclude=("models/user.py",)) == [
        ("app", ["app/main.py", "app/models", "app/models/__init__.py"])
    ]


@pytest.mark.parametrize("options", [{"exclude": ("[",)}, {"parents": True}])
def test_a_bad_pattern_has_the_place_of_its_instruction(options: dict[str, Any]) -> None:
    span = Span("Dockerfile", 3, 1, 3, 9)
    with pytest.raises(BuildFailure) as caught:
        select(RECORDS, "[" if "parents" in options else "docs", span=span, **options)
    assert (caught.value.diagnostic.reference, caught.value.diagnostic.span) == ("context-bad-ignore-pattern", span)
