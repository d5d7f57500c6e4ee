"""The charts of a report: values in, SVG out, drawn by Vega-Lite in this process (docs/adr/0017-report-page.md).

Colours are the page's CSS variables, so that one drawing serves light, dark and print. What a mark means stands in its
`data-tip`; what a chart shows is also in a table beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from lamina.report.words import duration, size

#: Pixels of a chart as it is drawn for a page, and for a narrow screen.
WIDE, NARROW = 960, 352
#: Pixels of a character at 11 px: monospace, and about that of other text.
_MONO, _SANS = 6.65, 6.6
#: Pixels of a line of words, and of the chart of sums.
_LETTERS, _LINES_HEIGHT = 15, 180

_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "labelFontSize": 11,
        "labelColor": "var(--soft)",
        "gridColor": "var(--line)",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "title": None,
    },
    "text": {"fontSize": 11, "color": "var(--ink)", "aria": False},
}
_ROLE = re.compile(r' (?:role|aria-roledescription)="[^"]*"')


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


def fitted(text: str, pixels: float, *, mono: bool = True) -> str:
    """Text cut to a width."""
    most = int(pixels / (_MONO if mono else _SANS))
    if len(text) <= most:
        return text
    return f"{text[: most - 1]}…" if most > 1 else ""


def _timeline(lanes: Sequence[str], spans: Sequence[Span], width: int) -> str:
    gutter = _gutter(lanes, width, 0.22)
    end = max((span.end for span in spans), default=0.0) or 1.0
    scale = (width - gutter - 12) / end
    values = []
    for span in spans:
        # A bar too short to be seen is drawn as a hair.
        stop = max(span.end, span.start + 2 / scale)
        label = fitted(span.label, (span.end - span.start) * scale - 2)
        values.append({"y": span.lane, "a": span.start, "b": stop, "t": span.tone, "d": span.tip, "l": label})
    y = _rows([fitted(lane, gutter - 8) for lane in lanes], 0.1)
    x = {
        "field": "a",
        "type": "quantitative",
        "scale": {"domain": [0, end], "nice": False},
        "axis": _axis(end, "s", (width - gutter) // 110),
    }
    bar = {
        "mark": {"type": "bar", "height": 16, "yOffset": 9, "cornerRadius": 2},
        "encoding": {"x": x, "x2": {"field": "b"}, "y": y, "color": _tone(), "description": {"field": "d"}},
    }
    text = {
        "mark": {"type": "text", "align": "left", "yOffset": -9, "font": "monospace", "baseline": "middle"},
        "encoding": {"x": x, "y": y, "text": {"field": "l"}},
    }
    return _svg(values, [bar, text], width - gutter - 12, {"step": 48}, gutter)


def _bars(rows: Sequence[Bar], width: int, pairs: bool, unit: str) -> str:
    gutter = _gutter([row.label for row in rows], width, 0.42)
    room = 8 + _SANS * max((len(text) for row in rows for text in row.shown), default=0)
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
    y = _rows([fitted(row.label, gutter - 8) for row in rows], 0.3, 0.15)
    offset = {"yOffset": {"field": "p", "type": "ordinal", "scale": {"paddingInner": 0.1}}} if pairs else {}
    domain = {"domain": [0, most], "nice": False}
    axis = _axis(most, unit, max(2, inner // 110))
    x = {"field": "a", "type": "quantitative", "scale": domain, "axis": axis}
    drawn = {
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadiusEnd": 2},
        "encoding": {"x": x, "x2": {"field": "b"}, "y": y, **offset, "color": _tone(), "description": {"field": "d"}},
    }
    text = {
        "data": {"values": texts},
        "mark": {"type": "text", "align": "left", "dx": 5, "baseline": "middle"},
        "encoding": {"x": {**x, "field": "b"}, "y": y, **offset, "text": {"field": "l"}},
    }
    step = {"step": 15, "for": "offset"} if pairs else {"step": 24}
    return _svg([], [drawn, text], inner, step, gutter)


def _grid(found: Grid, width: int) -> str:
    gutter = _gutter(found.rows, width, 0.34)
    count = len(found.columns)
    step = min(24.0, (width - gutter - 14) / max(1, count))
    inner = step * count
    marked = _marked(found.columns, inner)
    bands = [{"y": number, "a": 0, "b": inner} for number in range(len(found.rows))]
    cells = [
        {"y": one.row, "x": one.column, "t": one.tone, "d": one.tip, "o": 1 if one.own else 0, "s": _faint(one.share)}
        for one in found.cells
    ]
    y = _rows([fitted(row, gutter - 8) for row in found.rows], 0.14)
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
            "encoding": {"x": x, "y": y, "color": _tone(), **fade, "description": {"field": "d"}},
        }

    layers = [background, {"data": {"values": cells}, "layer": [blocks(0, 0.4), blocks(1, 1)]}]
    spec = {"layer": layers, "resolve": {"scale": {"x": "independent"}, "axis": {"x": "independent"}}}
    return _svg([], [], inner, {"step": 20}, gutter, spec)


def _lines(series: Sequence[Line], days: Sequence[str], width: int) -> str:
    gutter = 56
    most = max(value for line in series for _, value in line.points) or 1.0
    ends = [f"{line.name} {duration(line.points[-1][1])}" for line in series]
    inner = width - gutter - 14 - int(_SANS * max(map(len, ends), default=0))
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
        "axis": {**_axis(most, "s", 4), "labelPadding": 6, "labelFlush": False},
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
    return _svg([], layers, inner, _LINES_HEIGHT, gutter)


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


def _rows(labels: Sequence[str], inner: float, outer: float = 0.0) -> dict[str, Any]:
    """The vertical places of rows, with their labels in front, all of one width."""
    return {
        "field": "y",
        "type": "ordinal",
        "scale": {"domain": list(range(len(labels))), "paddingInner": inner, "paddingOuter": outer},
        "axis": {
            "labelExpr": f"{json.dumps(list(labels))}[datum.value]",
            "labelFont": "monospace",
            "labelColor": "var(--ink)",
            "labelAlign": "left",
            "labelLimit": 0,
        },
    }


def _tone() -> dict[str, Any]:
    """Tones are names of colours, or of hatchings, of the page: the values of `fill` themselves."""
    return {"field": "t", "type": "nominal", "scale": None, "legend": None}


def _gutter(labels: Sequence[str], width: int, share: float) -> int:
    """Pixels for the labels in front of the rows."""
    longest = max((len(label) for label in labels), default=0)
    return int(min(longest * _MONO + 12, width * share))


def _axis(most: float, unit: str, ticks: int) -> dict[str, Any]:
    """Round numbers of seconds or bytes, in words."""
    values = _round_steps(most, max(2, int(ticks)), 1000.0 if unit == "B" else 60.0)
    words = {_number(value): size(int(value)) if unit == "B" else _time(value) for value in values}
    return {
        "values": values,
        "labelExpr": f"({json.dumps(words)})[datum.value]",
        "labelFlush": True,
        "labelOverlap": True,
    }


def _number(value: float) -> str:
    """As JavaScript writes a number that is a key."""
    return str(int(value)) if value == int(value) else repr(value)


def _time(seconds: float) -> str:
    if seconds >= 60:
        hours, rest = divmod(round(seconds), 3600)
        minutes, rest = divmod(rest, 60)
        return " ".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number)
    return f"{seconds:g}s"


def _round_steps(most: float, count: int, base: float) -> list[float]:
    """At most `count` + 1 round numbers from 0 on. Time is round in steps of 1, 2, 5, 10, 15 and 30 of a unit."""
    wanted, unit = most / count, 1.0
    nice: tuple[float, ...]
    if base == 60.0 and wanted > 1:
        nice = (1, 2, 5, 10, 15, 30)
        while wanted / unit > 30 and unit < 3600:
            unit *= 60
        if unit == 3600:
            nice = (*nice, 60, 120, 300, 600, 1200, 3000, 6000, 12000, 30000)
    else:
        nice = (1, 2, 5, 10)
        while wanted / unit > 10:
            unit *= 10
        while wanted / unit <= 1:
            unit /= 10
    step = next((one * unit for one in nice if one * unit >= wanted), nice[-1] * unit)
    return [round(step * number, 9) for number in range(int(most / step + 1e-9) + 1)]


def _svg(
    values: Sequence[Any],
    layers: Sequence[Any],
    width: float,
    height: Any,
    gutter: int,
    more: Mapping[str, Any] | None = None,
) -> str:
    import vl_convert

    spec = {
        "data": {"values": values},
        "layer": layers,
        "width": int(width),
        "height": height,
        # Letters of the reader's font may be wider than those that Vega measured.
        "padding": {"left": 0, "right": 14, "top": 4, "bottom": 2},
        "config": {**_CONFIG, "axisY": {"labelPadding": gutter - 4}},
        **(more or {}),
    }
    drawn: str = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    # The charts are pictures with a table beside them; the words of a mark are for those who point at it.
    return _ROLE.sub("", drawn).replace(' aria-label="', ' data-tip="')
