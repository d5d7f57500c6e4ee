"""The table in words."""

from __future__ import annotations

from lamina.diagnostics import Span
from lamina.explain.table import Row, Summary
from lamina.keys.decide import MissCause
from lamina.report.table import summary_line, table_lines

SPAN = Span("Dockerfile", 1, 1, 1, 2)


def test_one_line_a_row() -> None:
    rows = [
        Row("s", "FROM base", "cached", SPAN),
        Row("s", "COPY . .", "CHANGED", SPAN, 1.5, cause=MissCause("changed", "env A", "1", "2"), more=2),
        Row("s", "RUN pip \\\n  install", "rebuilds", SPAN, 61, because=("COPY . .", 2)),
        Row("s", "RUN x", "new", SPAN, 0.1, cause=MissCause("first_build")),
        Row("s", "RUN y", "cached", SPAN, saved=5.0),
        Row("s", "CMD z", "metadata", SPAN),
    ]
    assert table_lines(rows) == [
        "FROM base          cached",
        "COPY . .           CHANGED      1.5s  A: 1 → 2 (and 2 more)",
        "RUN pip \\ install  rebuilds   1m 01s  because of line 2: COPY . .",
        "RUN x              new          0.1s  never built before",
        "RUN y              cached",
        "CMD z              metadata",
    ]


def test_stages_stand_apart() -> None:
    rows = [Row("a", "FROM x", "cached", SPAN), Row("a", "RUN y", "cached", SPAN), Row("b", "FROM a", "cached", SPAN)]
    assert table_lines(rows) == ["FROM x  cached", "RUN y   cached", "", "FROM a  cached"]


def test_long_texts_are_cut_to_the_width() -> None:
    rows = [
        Row("s", "RUN " + "x" * 100, "rebuilds", SPAN, 1, because=("RUN " + "y" * 100, 7)),
        Row("s", "RUN z", "new", SPAN, cause=MissCause("added", "env A", after="v" * 500)),
    ]
    for width in (60, 80, 120):
        made = table_lines(rows, width=width)
        assert all(len(line) <= width for line in made)
        assert made[0].startswith("RUN xxx") and "…" in made[0]


def test_no_rows() -> None:
    assert table_lines([]) == []


def test_the_sum() -> None:
    assert summary_line(Summary(3, 5, 61.0), 4.2) == "cached 3 of 5 steps, 4.2s (the cache saved about 1m 01s)"
    assert summary_line(Summary(0, 5, 0.01), 4.2) == "cached 0 of 5 steps, 4.2s"
