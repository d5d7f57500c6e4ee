"""What the charts of a report share: rows with labels in front, axes with round numbers, text that fits a width."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lamina.report.words import size

#: Pixels of a character at 11 px: monospace, and about that of other text.
_MONO, SANS = 6.65, 6.6


def fitted(text: str, pixels: float) -> str:
    """Text in monospace, cut to a width."""
    most = int(pixels / _MONO)
    if len(text) <= most:
        return text
    return f"{text[: most - 1]}…" if most > 1 else ""


def label_axis(labels: Sequence[str], inner: float, outer: float = 0.0) -> dict[str, Any]:
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


def tones() -> dict[str, Any]:
    """Tones are names of colours, or of hatchings, of the page: the values of `fill` themselves."""
    return {"field": "t", "type": "nominal", "scale": None, "legend": None}


def gutter_for(labels: Sequence[str], width: int, share: float) -> int:
    """Pixels for the labels in front of the rows."""
    longest = max((len(label) for label in labels), default=0)
    return int(min(longest * _MONO + 12, width * share))


def value_axis(most: float, unit: str, ticks: int) -> dict[str, Any]:
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
