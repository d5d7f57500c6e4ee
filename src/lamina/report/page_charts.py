"""The charts of a report: values in, SVG out, drawn by Vega-Lite in this process (docs/adr/0017-report-page.md).

Colours are the page's CSS variables, so that one drawing serves light, dark and print. What a mark means stands in its
`data-tip`; what a chart shows is also in a table beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lamina.report.page_axes import SANS, fitted, gutter_for, label_axis, tones, value_axis
from lamina.report.page_drawing import drawn_svg
from lamina.report.words import duration

#: Pixels of a chart as it is drawn for a page, and for a narrow screen.
WIDE, NARROW = 960, 352
#: Pixels of a line of words, and of the chart of sums.
_LETTERS, _LINES_HEIGHT = 15, 180


class Chart(Struct, frozen=True):
    """One chart in both widths, as SVG text. `title` is what it shows, in a sentence."""

    title: str
    wide: str
    narrow: str


class Span(Struct, frozen=True):
    """A bar of the timeline: its lane's place, seconds from the start, a tone (a CSS variable) and what it means."""

    lane: int
    start: float
    end: float
    label: str
    tone: str
    tip: str


class Bar(Struct, frozen=True):
    """A row of a bar chart: `parts` are (value, tone), one behind the other or, in a chart of pairs, one below the
    other; `shown` stands behind them (behind each, in a chart of pairs)."""

    label: str
    parts: tuple[tuple[float, str], ...]
    shown: tuple[str, ...]
    tip: str


class Cell(Struct, frozen=True):
    """A step (its row) that ran in a column of commits; `own` if an input of its own had changed; `share` of them."""

    column: int
    row: int
    tone: str
    own: bool
    tip: str
    share: float = 1.0


class Grid(Struct, frozen=True):
    """Rows of steps, and columns of commits by the day of the first of each."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Cell]


class Line(Struct, frozen=True):
    """A line of (commit from 1, seconds)."""

    name: str
    tone: str
    points: Sequence[tuple[int, float]]


def timeline(title: str, lanes: Sequence[str], spans: Sequence[Span]) -> Chart:
    """Bars over time, one lane a stage."""
    return Chart(title, _timeline(lanes, spans, WIDE), _timeline(lanes, spans, NARROW))


def bars(title: str, rows: Sequence[Bar], *, pairs: bool = False, unit: str = "s") -> Chart:
    """Horizontal bars. `pairs`: the parts of a row are drawn below each other, to be compared. `unit`: `s` or `B`."""
    return Chart(title, _bars(rows, WIDE, pairs, unit), _bars(rows, NARROW, pairs, unit))


def grid(title: str, wide: Grid, narrow: Grid) -> Chart:
    """Commits by steps: a band a step, a block where it ran, as high as the band if it was of its own accord."""
    return Chart(title, _grid(wide, WIDE), _grid(narrow, NARROW))


def lines(title: str, series: Sequence[Line], days: Sequence[str]) -> Chart:
    """Sums in seconds over the commits, whose days are given, oldest first."""
    return Chart(title, _lines(series, days, WIDE), _lines(series, days, NARROW))


def _timeline(lanes: Sequence[str], spans: Sequence[Span], width: int) -> str:
    gutter = gutter_for(lanes, width, 0.22)
    end = max((span.end for span in spans), default=0.0) or 1.0
    scale = (width - gutter - 12) / end
    values = []
    for span in spans:
        # A bar too short to be seen is drawn as a hair.
        stop = max(span.end, span.start + 2 / scale)
        label = fitted(span.label, (span.end - span.start) * scale - 2)
        values.append({"y": span.lane, "a": span.start, "b": stop, "t": span.tone, "d": span.tip, "l": label})
    y = label_axis([fitted(lane, gutter - 8) for lane in lanes], 0.1)
    x = {
        "field": "a",
        "type": "quantitative",
        "scale": {"domain": [0, end], "nice": False},
        "axis": value_axis(end, "s", (width - gutter) // 110),
    }
    bar = {
        "mark": {"type": "bar", "height": 16, "yOffset": 9, "cornerRadius": 2},
        "encoding": {"x": x, "x2": {"field": "b"}, "y": y, "color": tones(), "description": {"field": "d"}},
    }
    text = {
        "mark": {"type": "text", "align": "left", "yOffset": -9, "font": "monospace", "baseline": "middle"},
        "encoding": {"x": x, "y": y, "text": {"field": "l"}},
    }
    return drawn_svg(values, [bar, text], width - gutter - 12, {"step": 48}, gutter)


def _bars(rows: Sequence[Bar], width: int, pairs: bool, unit: str) -> str:
    gutter = gutter_for([row.label for row in rows], width, 0.42)
    room = 8 + SANS * max((len(text) for row in rows for text in row.shown), default=0)
    totals = [
        value for row in rows for value in ([v for v, _ in row.parts] if pairs else [sum(v for v, _ in row.parts)])
    ]
    most = max(totals, default=0.0) or 1.0
    inner = int(width - gutter - room - 6)
    values, texts = [], []
    for number, row in enumerate(rows):
        at = 0.0
        for part, (value, tone) in enumerate(row.parts):
            start = 0.0 if pairs else at
            at = start + value
            if value > 0:
                values.append({"y": number, "p": part, "a": start, "b": at, "t": tone, "d": row.tip})
            if pairs:
                texts.append({"y": number, "p": part, "b": value, "l": row.shown[part]})
        if not pairs:
            texts.append({"y": number, "p": 0, "b": at, "l": row.shown[0]})
    y = label_axis([fitted(row.label, gutter - 8) for row in rows], 0.3, 0.15)
    offset = {"yOffset": {"field": "p", "type": "ordinal", "scale": {"paddingInner": 0.1}}} if pairs else {}
    domain = {"domain": [0, most], "nice": False}
    axis = value_axis(most, unit, max(2, inner // 110))
    x = {"field": "a", "type": "quantitative", "scale": domain, "axis": axis}
    drawn = {
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {"x": x, "x2": {"field": "b"}, "y": y, **offset, "color": tones(), "description": {"field": "d"}},
    }
    text = {
        "data": {"values": texts},
        "mark": {"type": "text", "align": "left", "dx": 5, "baseline": "middle"},
        "encoding": {"x": {**x, "field": "b"}, "y": y, **offset, "text": {"field": "l"}},
    }
    step = {"step": 15, "for": "offset"} if pairs else {"step": 24}
    return drawn_svg([], [drawn, text], inner, step, gutter)


def _grid(found: Grid, width: int) -> str:
    gutter = gutter_for(found.rows, width, 0.34)
    count = len(found.columns)
    step = min(24.0, (width - gutter - 14) / max(1, count))
    inner = step * count
    marked = _marked(found.columns, inner)
    bands = [{"y": number, "a": 0, "b": inner} for number in range(len(found.rows))]
    cells = [
        {"y": one.row, "x": one.column, "t": one.tone, "d": one.tip, "o": 1 if one.own else 0, "s": _faint(one.share)}
        for one in found.cells
    ]
    y = label_axis([fitted(row, gutter - 8) for row in found.rows], 0.14)
    pad = 0.2 if step >= 4 else 0
    x: dict[str, Any] = {
        "field": "x",
        "type": "ordinal",
        "scale": {"domain": list(range(count)), "paddingInner": pad, "paddingOuter": pad / 2},
        "axis": {
            "values": list(marked),
            "labelExpr": f"({json.dumps(marked)})[datum.value]",
            "labelAngle": 0,
            "labelAlign": "left",
        },
    }
    background = {
        "data": {"values": bands},
        "mark": {"type": "bar", "color": "var(--cached)", "height": {"band": 1}, "aria": False},
        "encoding": {
            "x": {"field": "a", "type": "quantitative", "scale": None, "axis": None},
            "x2": {"field": "b"},
            "y": y,
        },
    }

    opacity = {"field": "s", "type": "quantitative", "scale": None, "legend": None}
    fade = {"opacity": opacity} if any(one.share < 1 for one in found.cells) else {}

    def blocks(own: int, part: float) -> dict[str, Any]:
        return {
            "transform": [{"filter": f"datum.o === {own}"}],
            "mark": {"type": "rect", "height": {"band": part}},
            "encoding": {"x": x, "y": y, "color": tones(), **fade, "description": {"field": "d"}},
        }

    layers = [background, {"data": {"values": cells}, "layer": [blocks(0, 0.4), blocks(1, 1)]}]
    spec = {"layer": layers, "resolve": {"scale": {"x": "independent"}, "axis": {"x": "independent"}}}
    return drawn_svg([], [], inner, {"step": 20}, gutter, spec)


def _lines(series: Sequence[Line], days: Sequence[str], width: int) -> str:
    gutter = 56
    most = max(value for line in series for _, value in line.points) or 1.0
    ends = [f"{line.name} {duration(line.points[-1][1])}" for line in series]
    inner = width - gutter - 14 - int(SANS * max(map(len, ends), default=0))
    marked = {place + 1: day for place, day in _marked(days, inner).items()}
    layers: list[dict[str, Any]] = []
    x: dict[str, Any] = {
        "field": "x",
        "type": "quantitative",
        "scale": {"domain": [0, len(days)], "nice": False},
        "axis": {
            "values": list(marked),
            "labelExpr": f"({json.dumps(marked)})[datum.value]",
            "grid": False,
            "labelAlign": "left",
        },
    }
    y = {
        "field": "y",
        "type": "quantitative",
        "scale": {"domain": [0, most], "nice": True},
        "axis": {**value_axis(most, "s", 4), "labelPadding": 6, "labelFlush": False},
    }
    apart = _apart([line.points[-1][1] / most * _LINES_HEIGHT for line in series])
    for number, line in enumerate(series):
        values = [{"x": at, "y": value} for at, value in line.points]
        dash = {} if number == 0 else {"strokeDash": [6, 3]}
        layers.append(
            {
                "data": {"values": values},
                "mark": {"type": "line", "color": line.tone, "strokeWidth": 2, "aria": False, **dash},
                "encoding": {"x": x, "y": y},
            }
        )
        layers.append(
            {
                "data": {"values": [{**values[-1], "l": ends[number]}]},
                "mark": {"type": "text", "align": "left", "dx": 6, "dy": apart[number], "baseline": "middle"},
                "encoding": {"x": x, "y": y, "text": {"field": "l"}},
            }
        )
    return drawn_svg([], layers, inner, _LINES_HEIGHT, gutter)


def _faint(share: float) -> float:
    """The opacity of a block: a rare one is faint, and still to be seen."""
    return round(0.25 + 0.75 * share, 2)


def _apart(heights: Sequence[float]) -> list[float]:
    """How far down the words at the ends of one or two lines are moved, so that they do not lie on each other."""
    if len(heights) < 2:
        return [0.0] * len(heights)
    upper, lower = heights
    push = max(0.0, _LETTERS - (upper - lower)) / 2
    return [-push, push]


def _marked(days: Sequence[str], pixels: float) -> dict[int, str]:
    """The places of the days that fit below, the last with room to its right."""
    each = max(1, -(-len(days) * 84 // int(max(84, pixels))))
    return {place: days[place] for place in range(0, len(days), each) if pixels * (1 - place / len(days)) >= 64}
