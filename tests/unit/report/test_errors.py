"""A diagnostic as lines: the place, the marked source, the words."""

from __future__ import annotations

from lamina.diagnostics import Diagnostic, Span
from lamina.report.errors import diagnostic_lines

SOURCES = {"Dockerfile": ["FROM base", "COPY --chow=x a \\", "  b \\", "  c /x", "RUN make", "CMD x"]}


def lines(span: Span | None, **fields: object) -> list[str]:
    return diagnostic_lines(Diagnostic("dockerfile-x", "it is wrong", span, **fields), SOURCES)  # type: ignore[arg-type]


def test_everything_in_its_order() -> None:
    assert lines(Span("Dockerfile", 2, 6, 2, 14), cause="a typo", hint="write --chown") == [
        "Dockerfile:2",
        "  1 |     FROM base",
        "  2 | >>> COPY --chow=x a \\",
        "    |          ^^^^^^^^",
        "  3 |       b \\",
        "  4 |       c /x",
        "error: it is wrong",
        "  cause: a typo",
        "  hint: write --chown",
        "  [dockerfile-x]",
    ]


def test_a_whole_instruction_is_marked_at_its_lines_alone() -> None:
    assert lines(Span("Dockerfile", 2, 1, 4, 7))[:-2] == [
        "Dockerfile:2",
        "  1 |     FROM base",
        "  2 | >>> COPY --chow=x a \\",
        "  3 | >>>   b \\",
        "  4 | >>>   c /x",
        "  5 |     RUN make",
        "  6 |     CMD x",
    ]


def test_the_marker_of_a_span_over_several_lines_ends_with_its_line() -> None:
    assert "    |          ^^^^^^^^^^^^" in lines(Span("Dockerfile", 2, 6, 3, 4))


def test_the_marker_stands_below_its_word_behind_a_tab() -> None:
    made = diagnostic_lines(Diagnostic("dockerfile-x", "m", Span("f", 1, 7, 1, 10)), {"f": ["RUN\ta bad"]})
    assert made[2] == "    |        \t  ^^^"


def test_without_a_place() -> None:
    assert lines(None) == ["error: it is wrong", "  [dockerfile-x]"]


def test_the_text_is_not_at_hand_or_shorter_than_it_was() -> None:
    assert lines(Span("elsewhere", 2, 1, 2, 3))[:2] == ["elsewhere:2", "error: it is wrong"]
    assert lines(Span("Dockerfile", 99, 1, 99, 3))[:2] == ["Dockerfile:99", "error: it is wrong"]


def test_a_steps_last_output_and_a_warning() -> None:
    made = lines(None, excerpt=("make: no rule", "make: ***"), severity="warning")
    assert made == ["  | make: no rule", "  | make: ***", "warning: it is wrong", "  [dockerfile-x]"]


def test_a_long_instruction_is_not_shown_whole() -> None:
    text = [f"line {number}" for number in range(1, 101)]
    made = diagnostic_lines(Diagnostic("dockerfile-x", "m", Span("f", 20, 1, 90, 3)), {"f": text})
    shown = [line for line in made if "line" in line]
    assert (shown[0], shown[-1]) == ("  18 |     line 18", "  30 | >>> line 30")
