"""Parsing: speed, warnings, triggers, check options, durations, heredoc content."""

from __future__ import annotations

import time

import pytest

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile import parse, parse_trigger, to_text
from lamina.dockerfile.directives import CheckOptions, parse_checks
from lamina.dockerfile.durations import nanoseconds
from lamina.dockerfile.heredocs import content
from lamina.dockerfile.syntax import Copy, Onbuild, Run


def test_ten_thousand_lines_take_well_under_a_second() -> None:
    block = (
        b'FROM a\nENV A=1 B="2 3"\nRUN apt-get update && \\\n  apt-get install -y foo\nCOPY --chown=1:2 a b /c/\n'
        b'LABEL x="y z"\nCMD ["a","b"]\n# comment\n\nRUN <<EOF\nhi\nEOF\n'
    )
    started = time.process_time()
    parsed = parse(block * 834, "Dockerfile")
    assert time.process_time() - started < 0.9
    assert len(parsed.lines) > 10_000


def test_an_instruction_over_ten_thousand_lines() -> None:
    started = time.process_time()
    parsed = parse(b"FROM a\nRUN x" + b" && \\\n  y" * 10_000, "Dockerfile")
    assert time.process_time() - started < 0.9
    assert parsed.instructions[1].span == Span("Dockerfile", 2, 1, 10_002, 4)


def test_indentation_of_continuations_stays_in_the_command() -> None:
    narrow, wide = (parse(f"FROM a\nRUN x && \\\n{pad}y".encode(), "f").instructions[1] for pad in ("  ", "    "))
    assert isinstance(narrow, Run)
    assert isinstance(wide, Run)
    assert narrow.command.text == "x &&   y"
    assert wide.command.text == "x &&     y"


def test_an_empty_continuation_line_is_warned_about_once_an_instruction() -> None:
    parsed = parse(b"FROM a\nRUN x \\\n\n\n y\nRUN z \\\n# no\n y\nRUN q \\\n\n", "f")
    assert [(each.reference, each.span and each.span.line, each.severity) for each in parsed.warnings] == [
        ("dockerfile-no-empty-continuation", 3, "warning"),
        ("dockerfile-no-empty-continuation", 10, "warning"),
    ]


def test_a_trigger_is_stored_on_one_line_and_parses_with_its_heredocs() -> None:
    text = b"FROM a\nonbuild COPY --chown=1 \\\n  <<-E /x\n\thi\n\tE\n"
    stored = parse(text, "f").instructions[1]
    assert isinstance(stored, Onbuild)
    assert stored.trigger == "COPY --chown=1   <<-E /x\n\thi\nE"
    place = Span("Dockerfile", 1, 1, 1, 7)
    trigger = parse_trigger(stored.trigger, place)
    assert isinstance(trigger, Copy)
    assert (trigger.sources, trigger.dest, trigger.span) == ((), "/x", place)
    assert content(trigger.heredocs[0]) == "hi\n"
    assert trigger.flags[0].span == trigger.heredocs[0].span == place


def test_a_trigger_takes_the_escape_of_its_file() -> None:
    assert parse_trigger("RUN dir c:\\", Span("f", 1, 1, 1, 2), "`").original == "RUN dir c:\\"


def test_tabs_are_stripped_only_for_the_dash_and_only_in_front() -> None:
    run = parse(b"FROM a\nRUN <<-A <<B\n\t\ta\tb\n \tc\n\tA\n\td\nB\n", "f").instructions[1]
    assert [content(heredoc) for heredoc in run.heredocs] == ["a\tb\n \tc\n", "\td\n"]
    assert run.heredocs[0].body == "\t\ta\tb\n \tc\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("skip=A,B", CheckOptions(skip=("A", "B"))),
        ("skip=all;error=true", CheckOptions(skip=("all",), error=True)),
        (" skip = A , B ; experimental=C ", CheckOptions(skip=("A", "B"), experimental=("C",))),
        ("error=0", CheckOptions()),
    ],
)
def test_check_options(text: str, wanted: CheckOptions) -> None:
    assert parse_checks(text) == wanted


@pytest.mark.parametrize("text", ["skip", "fail=true", "error=maybe", "error="])
def test_bad_check_options(text: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        parse_checks(text, Span("f", 1, 1, 1, 2))
    assert caught.value.diagnostic.reference == "dockerfile-bad-check"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0),
        ("1s", 10**9),
        ("1m30s", 90 * 10**9),
        ("1.5h", 5400 * 10**9),
        (".5s", 5 * 10**8),
        ("1.s", 10**9),
        ("100ms", 10**8),
        ("2us", 2000),
        ("2µs", 2000),
        ("-1s", -(10**9)),
        ("+1s", 10**9),
        ("2562047h", 2562047 * 3600 * 10**9),
    ],
)
def test_durations(text: str, wanted: int) -> None:
    assert nanoseconds(text) == wanted


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1 s", ".s", "1s5", "9999999h", "１s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|too long"):
        nanoseconds(text)


@pytest.mark.parametrize("word", ["x", "#", " #", "\\\\", "\\ ", "é# "])
def test_an_instruction_longer_than_a_line_may_be_prints_on_several(word: str) -> None:
    text = "FROM a\nRUN y" + "".join(f"\\\n{word * 900}-" for _ in range(90)) + "\n"
    parsed = parse(text.encode(), "Dockerfile")
    printed = to_text(parsed).encode()
    assert max(map(len, printed.split(b"\n"))) < 65536
    assert parse(printed, "Dockerfile").instructions[1].original == parsed.instructions[1].original
