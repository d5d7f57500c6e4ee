"""The lesson's table: each instruction with what became of it and why, as data. `report` turns it into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.keys.decide import How, MissCause
from lamina.keys.looks import Look

#: cached: taken from the cache · CHANGED: an input of its own changed · rebuilds: only because of a step above it ·
#: new: never built before · metadata: makes no layer · unknown: a forecast cannot know yet.
Verdict = Literal["cached", "CHANGED", "rebuilds", "new", "metadata", "fetched", "unknown"]


class Row(Struct, frozen=True):
    """One instruction. `because` is the row text and line of the step that made this one rebuild; `cause` the first
    cause of its own; `more` how many further ones there are. `saved` is what a cached step took when it ran. `behind`
    names what an unknown step waits for, see `Unkeyed`; `kept` and `possible` as in `StepResult`; `how` tells how a
    cached step was found, and `origin` where; `read` as in `Hit`. `look` is what an observed step saw that is
    otherwise now."""

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
    possible: bool = False
    how: How | Literal[""] = ""
    read: tuple[int, int] = (0, 0)
    look: Look | None = None
    origin: Literal["", "store", "shared"] = ""


class Summary(Struct, frozen=True):
    """Steps that make layers: how many were cached of how many, and the seconds that this saved."""

    cached: int
    total: int
    saved: float


def rows(story: Story) -> tuple[Row, ...]:
    """The table of a build: for each stage its FROM, then its instructions."""
    known = {step.address: step for step in story.steps()}
    table: list[Row] = []
    for stage in story.stages:
        table.append(_base_row(stage))
        table += [_row(stage.label, step, known) for step in stage.steps]
    return tuple(table)


def summary(story: Story) -> Summary:
    """Count the steps that make layers."""
    layers = [step for step in story.steps() if step.outcome != "metadata"]
    cached = [step for step in layers if step.outcome == "cached"]
    return Summary(len(cached), len(layers), sum(step.saved for step in cached))


def own_causes(step: ToldStep) -> tuple[MissCause, ...]:
    """The causes of a step's own: all but that a step above it ran."""
    return tuple(cause for cause in step.causes if cause.kind != "parent")


def _base_row(stage: ToldStage) -> Row:
    name = f" AS {stage.label}" if stage.named else ""
    verdicts: dict[str, Verdict] = {"fetched": "fetched", "scratch": "metadata"}
    return Row(stage.label, f"FROM {stage.base}{name}", verdicts.get(stage.base_outcome, "cached"), stage.span)


def _row(stage: str, step: ToldStep, known: dict[str, ToldStep]) -> Row:
    row = Row(
        stage,
        step.text,
        "metadata",
        step.span,
        step.seconds,
        step.saved,
        kept=step.kept,
        possible=step.possible,
        how=step.how,
        read=step.read,
        look=next((cause.look for cause in step.causes if cause.look is not None), None),
    )
    if step.outcome == "metadata":
        return row
    if step.outcome == "cached":
        return replace(row, verdict="cached", origin=step.origin or "store")
    if step.behind:
        return replace(row, verdict="unknown", behind=step.behind)
    own = own_causes(step)
    if own:
        verdict: Verdict = "new" if own[0].kind in ("first_build", "evicted") else "CHANGED"
        return replace(row, verdict=verdict, cause=own[0], more=_others(own))
    cause = step.causes[0] if step.causes else None
    origin = known.get(cause.origin) if cause else None
    because = (origin.text, origin.span.line) if origin else None
    return replace(row, verdict="rebuilds" if origin else "CHANGED", cause=cause, because=because)


def _others(causes: Sequence[MissCause]) -> int:
    """How many changes there are besides the one that is told: further files, further parts."""
    return sum(max(1, cause.total) for cause in causes) - 1
