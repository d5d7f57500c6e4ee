"""The story of a build (or of a forecast): every step with its decision, its key and its cost, as it is kept for ever.

A story has all that the table at the end of a build shows and that `explain` needs later, when records and layers may
be gone. It is what `records export` writes; its schema number rises when an older lamina would misread it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.digest import ChainID, DiffID, Digest
from lamina.events import Outcome
from lamina.keys.decide import Hit, How, Miss, MissCause, Unkeyed
from lamina.keys.outcome import BaseOutcome, StageResult, StepResult
from lamina.keys.record import CacheKey, CacheRecord
from lamina.plan.steps import Scratch, StageRef

SCHEMA = 1

#: A key's value longer than this is kept in a story by its digest and its beginning alone.
_LONG = 4096


class Before(Struct, frozen=True, omit_defaults=True):
    """The earlier result that a missed step was compared with, or a cached one was taken from. `build` made it,
    `seconds` it took, `created` in seconds since the epoch."""

    build: str
    text: str
    seconds: float
    created: float


class ToldStep(Struct, frozen=True, omit_defaults=True):
    """One step.

    `seconds` is what it took in this build, in a forecast what it took the last time; `saved` what a cached step took
    when it ran. `size` is the bytes of its layer. `how` tells how a cached step was found. `causes` are those of a
    miss, the first is the one to tell. `behind`, `kept` and `possible` as in `Row`. `key` has the named inputs;
    `diff_id` and `files` the layer that came of them, with and without times. `read` as in `Hit`; `looks` names all
    that an observed step looked at, see `keys.looks`. `began` as in `StepResult`; 0 also in stories of before it was
    noted.
    """

    address: str
    text: str
    span: Span
    outcome: Outcome | Literal["pending"]
    how: How | Literal[""] = ""
    origin: Literal["", "store", "shared"] = ""
    causes: tuple[MissCause, ...] = ()
    behind: tuple[str, ...] = ()
    seconds: float = 0.0
    saved: float = 0.0
    size: int = 0
    kept: bool = False
    possible: bool = False
    read: tuple[int, int] = (0, 0)
    looks: Digest | None = None
    key: CacheKey | None = None
    before: Before | None = None
    diff_id: DiffID | None = None
    files: Digest | None = None
    began: float = 0.0


class ToldStage(Struct, frozen=True, omit_defaults=True):
    """One stage with its steps in order, up to the failed one if one failed. `base` is what FROM says, `digest` the
    image that this meant (None for another stage or scratch), `chain` the stack at the end if that is known."""

    label: str
    named: bool
    base: str
    base_outcome: BaseOutcome
    span: Span
    platform: str
    steps: tuple[ToldStep, ...]
    digest: Digest | None = None
    chain: ChainID | None = None


class Story(Struct, frozen=True, omit_defaults=True):
    """A whole build: the stages that the target needed. `key` is the image's final key, see `engine.identity`."""

    stages: tuple[ToldStage, ...]
    schema: int = SCHEMA
    key: Digest | None = None

    def steps(self) -> tuple[ToldStep, ...]:
        """All steps, in the order of the table."""
        return tuple(step for stage in self.stages for step in stage.steps)


def tell(stages: Sequence[StageResult], key: Digest | None = None) -> Story:
    """The story of these results."""
    return Story(tuple(map(_stage, stages)), key=key)


def _stage(result: StageResult) -> ToldStage:
    stage = result.stage
    records = [step.record for step in result.steps if step.record is not None]
    return ToldStage(
        label=stage.label,
        named=stage.named,
        base="scratch" if isinstance(stage.base, Scratch) else stage.base_text,
        base_outcome=result.base,
        span=stage.span,
        platform=str(stage.platform),
        steps=tuple(map(_step, result.steps)),
        digest=None if isinstance(stage.base, Scratch | StageRef) else result.digest,
        chain=records[-1].result if records else None,
    )


def _step(result: StepResult) -> ToldStep:
    step, decision, record = result.step, result.decision, result.record
    told = ToldStep(
        result.address,
        step.text,
        step.span,
        result.outcome,
        seconds=result.seconds,
        kept=result.kept,
        began=result.began,
    )
    if record is not None:
        told = replace(told, size=record.size, key=_short(record.key), diff_id=record.diff_id, files=record.files)
        told = replace(told, looks=record.looks)
    if result.outcome == "cached":
        # A step that another build made while this one waited for it missed at first and was then taken.
        how, read = (decision.how, decision.read) if isinstance(decision, Hit) else ("definition", (0, 0))
        before = _before(record)
        origin = decision.origin if isinstance(decision, Hit) else "store"
        return replace(told, origin=origin, how=how, read=read, saved=record.seconds if record else 0.0, before=before)
    if isinstance(decision, Unkeyed):
        return replace(told, behind=decision.behind, before=_before(decision.nearest), possible=True)
    if isinstance(decision, Miss):
        key = told.key or (_short(result.key) if result.key else None)
        return replace(
            told, causes=decision.causes, before=_before(decision.nearest), key=key, possible=result.possible
        )
    return told


def _before(record: CacheRecord | None) -> Before | None:
    return Before(record.build, record.text, record.seconds, record.created) if record else None


def _short(key: CacheKey) -> CacheKey:
    """The key with its long values (heredocs) by their digest: what they were is in the causes."""
    if all(len(part.value) <= _LONG for part in key.parts):
        return key
    from lamina.digest import digest_of

    def shortened(value: str) -> str:
        if len(value) <= _LONG:
            return value
        return f"{value[:200]}… {digest_of(value.encode('utf-8', 'surrogateescape'))}"

    return replace(key, parts=tuple(replace(part, value=shortened(part.value)) for part in key.parts))
