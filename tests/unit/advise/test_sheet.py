"""A Dockerfile cut into blocks is the same Dockerfile; RUNs that are cut in two do the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.planning import only_run, plan

from lamina.advise.cost import Cost, CostBook, commands_of, guess, shares
from lamina.advise.sheet import sheet
from lamina.advise.split import halves, two_step
from lamina.dockerfile import parse

LINES = (
    "# comment\n",
    "\n",
    "RUN a \\\n  # inside\n  b\n",
    "COPY <<EOF /x\n# text\nRUN no\nEOF\n",
    "RUN <<A cat <<B\none\nA\ntwo\nB\n",
    "ENV a=b\n",
    "   COPY . .\n",
    "FROM b AS c\n",
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.sampled_from(("", "# syntax=x\n", "\ufeff")), st.booleans())
def test_the_blocks_are_the_text(lines: list[str], begin: str, crlf: bool) -> None:
    text = begin + "FROM a\n" + "".join(lines)
    text = text.replace("\n", "\r\n") if crlf else text
    cut = sheet(text.encode(), "D")
    assert cut.text == text
    assert len(cut.blocks) == len(cut.parsed.instructions)
    again = cut.with_blocks(cut.blocks)
    assert [one.original for one in again.parsed.instructions] == [one.original for one in cut.parsed.instructions]


def test_the_last_line_gets_an_end_when_it_may_move() -> None:
    assert sheet(b"FROM a\nRUN b", "D").text == "FROM a\nRUN b\n"


@pytest.mark.parametrize(
    ("text", "cuts"),
    [
        ("a && b && c", [("a && b", "c"), ("a", "b && c")]),
        ("a 'x && y' && b", [("a 'x && y'", "b")]),
        ("(a && b) && c", [("(a && b)", "c")]),
        ("a; b && c", []),
        ("a | b && c", []),
        ("a & b && c", []),
        ("cd x && b", []),
        ("X=1 && b", []),
        ("a && rm x", []),
        ("a", []),
        ("a && cd x && b", [("a", "cd x && b")]),
    ],
)
def test_where_a_run_can_be_cut(text: str, cuts: list[tuple[str, str]]) -> None:
    (_, run) = parse(f"FROM a\nRUN {text}\n".encode(), "D").instructions
    found = list(halves(run, only_run(f"FROM a\nRUN {text}\n")))
    assert [(one.command, other.command) for one, other in found] == cuts
    for half in (half for pair in found for half in pair):
        (_, made) = parse(("FROM a\n" + "\n".join(half.lines) + "\n").encode(), "D").instructions
        assert made.original == half.text


@pytest.mark.parametrize(
    ("run", "alone"),
    [
        ("poetry install", "poetry install --no-root"),
        ("poetry install --without dev", "poetry install --without dev --no-root"),
        ("uv sync --locked --no-dev", "uv sync --locked --no-dev --no-install-project"),
        ("uv sync", None),
        ("poetry install --no-root", None),
        ("poetry install && make", None),
        ("poetry install > log", None),
        ("npm ci", None),
    ],
)
def test_an_install_without_the_project(run: str, alone: str | None) -> None:
    assert two_step(only_run(f"FROM a\nRUN {run}\n")) == alone


def test_costs() -> None:
    steps = plan("FROM a\nRUN npm ci\nRUN make\nCOPY . .\nWORKDIR /x\nRUN sleep 7\n").stages[0].steps
    book = CostBook({"RUN npm ci": 3.0}, {"RUN make": 4.0})
    bases = [book.of(step).basis for step in steps]
    assert bases == ["recorded", "given", "guess", "guess", "guess"]
    assert [book.seconds(step) for step in steps] == [3.0, 4.0, 0.2, 0.0, 7.0]
    assert book.derive({"RUN make": Cost(1.0, "guess")}).seconds(steps[1]) == 1.0 and book.seconds(steps[1]) == 4.0
    assert guess(steps[0]) > guess(steps[2])
    assert sum(shares(["npm ci", "true"])) == pytest.approx(1) and shares(["npm ci", "true"])[0] > 0.9
    assert [one.words for one in commands_of(only_run('FROM a\nRUN ["x", "y z"]\n'))] == [("x", "y z")]
