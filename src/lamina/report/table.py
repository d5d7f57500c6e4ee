"""The table at the end of a build: the lesson's, with causes and seconds."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.explain.table import Row, Summary
from lamina.report.causes import look_phrase, phrase
from lamina.report.words import duration

_TEXT = 44


def table_lines(rows: Sequence[Row], *, width: int = 120) -> list[str]:
    """One line a row: the instruction, the verdict, the cause, the seconds."""
    text_width = min(_TEXT, max((len(_one_line(row.text)) for row in rows), default=0))
    stages = {row.stage for row in rows}
    lines: list[str] = []
    stage = None
    for row in rows:
        if row.stage != stage and stage is not None and len(stages) > 1:
            lines.append("")
        stage = row.stage
        line = (
            f"{_fit(_one_line(row.text), text_width):<{text_width}}  {row.verdict:<9} {_seconds(row):>7}  {remark(row)}"
        )
        lines.append(_fit(line.rstrip(), width))
    return lines


def summary_line(summary: Summary, seconds: float) -> str:
    """`cached 3 of 5 steps, 4.2s (the cache saved about 61.0s)`."""
    saved = f" (the cache saved about {duration(summary.saved)})" if summary.saved >= 0.05 else ""
    return f"cached {summary.cached} of {summary.total} steps, {duration(seconds)}{saved}"


def forecast_line(seconds: float, pending: int, total: int, least: float) -> str:
    """`3 of 5 steps would run, about 61.0s by their last time`. `least` seconds is all that it takes if steps come out
    as before."""
    if not pending:
        return f"all {total} steps are cached: nothing would run"
    told = f", about {duration(seconds)} by their last times" if seconds >= 0.05 else ""
    best = f", {duration(least)} if steps come out as before" if told and seconds - least >= 0.05 else ""
    return f"{pending} of {total} steps would run{told}{best}"


def remark(row: Row) -> str:
    """Why a row has its verdict, empty where there is nothing to say."""
    told = _reason(row)
    return f"{told}; came out the same" if row.kept else told


def _reason(row: Row) -> str:
    if row.because is not None:
        text, line = row.because
        unless = ", unless that comes out the same" if row.possible else ""
        if row.look is not None:
            return f"line {line}: {look_phrase(row.look)}"
        return f"because of line {line}{unless}: {_fit(_one_line(text), 40)}"
    if row.behind:
        return f"cached if the files of {' and '.join(row.behind)} come out the same"
    if row.origin == "shared":
        return "from the shared cache"
    if row.how == "observation":
        read, files = row.read
        return f"read {read} of {files} copied files; nothing that it looked at changed"
    return phrase(row.cause, row.more) if row.cause else ""


def _seconds(row: Row) -> str:
    return duration(row.seconds) if row.verdict in ("CHANGED", "rebuilds", "new", "unknown") else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
