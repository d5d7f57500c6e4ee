"""The lesson's table: each instruction with what became of it and why, as data. `report` turns it into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.keys.decide import Hit, Miss, MissCause, Unkeyed
from lamina.keys.outcome import StageResult, StepResult
from lamina.plan.steps import Scratch, StageRef

#: cached: taken from the cache · CHANGED: an input of its own changed · rebuilds: only because of a step above it ·
#: new: never built before · metadata: makes no layer · unknown: a forecast cannot know yet.
Verdict = Literal["cached", "CHANGED", "rebuilds", "new", "metadata", "fetched", "unknown"]


class Row(Struct, frozen=True):
    """One instruction. `because` is the row text and line of the step that made this one rebuild; `cause` the first
    cause of its own; `more` how many further ones there are. `saved` is what a cached step took when it ran. `behind`
    names what an unknown step waits for, see `Unkeyed`; `kept` as in `StepResult`."""

    stage: str
    text: str
    verdict: Verdict
    span: Span
    seconds: float = 0.0
    saved: float = 0.0
    cause: MissCause | None = None
    more: int = 0
    because: tuple[str, int] | None = None
    behind: tuple[str, ...] = ()
    kept: bool = False


class Summary(Struct, frozen=True):
    """Steps that make layers: how many were cached of how many, and the seconds that this saved."""

    cached: int
    total: int
    saved: float


def rows(stages: Sequence[StageResult]) -> tuple[Row, ...]:
    """The table of a build: for each stage its FROM, then its instructions."""
    known = {step.address: step for stage in stages for step in stage.steps}
    table: list[Row] = []
    for result in stages:
        stage = result.stage
        verdict: Verdict = "fetched" if result.base == "fetched" else "cached"
        base = "scratch" if isinstance(stage.base, Scratch) else stage.base_text
        name = f" AS {stage.label}" if stage.named else ""
        if isinstance(stage.base, Scratch | StageRef):
            verdict = "metadata" if isinstance(stage.base, Scratch) else "cached"
        table.append(Row(stage.label, f"FROM {base}{name}", verdict, stage.span))
        table += [_row(stage.label, step, known) for step in result.steps]
    return tuple(table)


def summary(stages: Sequence[StageResult]) -> Summary:
    """Count the steps that make layers."""
    layers = [step for stage in stages for step in stage.steps if step.outcome != "metadata"]
    cached = [step for step in layers if step.outcome == "cached"]
    return Summary(len(cached), len(layers), sum(step.record.seconds for step in cached if step.record))


def _row(stage: str, result: StepResult, known: dict[str, StepResult]) -> Row:
    step = result.step
    saved = result.record.seconds if result.record and result.outcome == "cached" else 0.0
    row = Row(stage, step.text, "metadata", step.span, result.seconds, saved, kept=result.kept)
    match result.decision:
        case None:
            return row
        case Hit():
            return replace(row, verdict="cached")
        case Unkeyed(behind=behind):
            return replace(row, verdict="unknown", behind=behind)
        case Miss(causes=causes):
            # A step that another build made while this one waited for it missed at first and was then taken.
            if result.outcome == "cached":
                return replace(row, verdict="cached")
            own = [cause for cause in causes if cause.kind != "parent"]
            if own:
                verdict: Verdict = "new" if own[0].kind in ("first_build", "evicted") else "CHANGED"
                return replace(row, verdict=verdict, cause=own[0], more=_others(own))
            origin = known.get(causes[0].origin)
            because = (origin.step.text, origin.step.span.line) if origin else None
            return replace(row, verdict="rebuilds" if origin else "CHANGED", cause=causes[0], because=because)


def _others(causes: Sequence[MissCause]) -> int:
    """How many changes there are besides the one that is told: further files, further parts."""
    return sum(max(1, len(cause.files)) for cause in causes) - 1
