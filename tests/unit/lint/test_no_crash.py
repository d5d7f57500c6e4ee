"""Whatever a file says, the rules do not fail, places are in the text, and fixes leave a file that can be used."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.fuzz.mutate import mutated, seeds
from tests.fuzz.target import check_span, plan
from tests.support.linting import HERE, checked

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import parse
from lamina.dockerfile.syntax import Dockerfile
from lamina.lint.check import Choice, check
from lamina.lint.survey import survey
from lamina.lint.table import RULES
from lamina.workshop.checking import Source, mend, source_of
from lamina.workshop.checking import examine as examine_file

ALL = Choice(enable=frozenset({"all"}))
CORPUS = sorted((Path(__file__).parents[2] / "corpus").glob("*.Dockerfile"))


def examine(data: bytes) -> None:
    try:
        dockerfile = parse(data, "Dockerfile")
        found = check(survey(dockerfile, HERE), RULES, ALL).findings
    except BuildFailure as failure:
        assert failure.diagnostic.reference.startswith("dockerfile-")
        return
    for one in found:
        check_span(one.span, data)
        assert "\n" not in one.message
        for edit in one.edits:
            check_start(edit.span.line, edit.span.column, data)
    mended, _ = mend(Source(data, "Dockerfile"), HERE, ALL)
    again = parse(mended.text, "Dockerfile")
    assert mend(mended, HERE, ALL)[1] == []
    assert len(again.instructions) == len(dockerfile.instructions)
    if plans(dockerfile):
        assert plans(again)


def check_start(line: int, column: int, data: bytes) -> None:
    lines = data.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape").split("\n")
    assert line <= len(lines)
    assert column <= len(lines[line - 1]) + 1


def plans(dockerfile: Dockerfile) -> bool:
    try:
        plan(dockerfile)
    except BuildFailure:
        return False
    return True


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_corpus(path: Path) -> None:
    examine(path.read_bytes())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_corpus_with_a_context(path: Path) -> None:
    files = [
        ".git/HEAD",
        ".env",
        "package.json",
        "go.mod",
        "src/main.py",
        "app/x/y.js",
        "requirements/base.txt",
        "a.tar.gz",
    ]
    text = path.read_text(encoding="utf-8")
    known = checked(text, files).findings
    assert {one.rule for one in checked(text).findings} <= {one.rule for one in known} | {"LockFileNotUsed"}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_file_of_the_corpus_is_fit_for_a_build(path: Path, tmp_path: Path) -> None:
    """Though its base images are not known."""
    assert examine_file(source_of(str(path), None), HERE, ALL, {}, str(tmp_path)).failure is None


@pytest.mark.parametrize("seed", range(4))
def test_mutations(seed: int) -> None:
    random = Random(seed)
    pool = [one for one in seeds() if not one.startswith(b"!")]
    for _ in range(120):
        examine(mutated(random, pool))
