"""What became of each step of a build: the decision, the record, the seconds. Explanations and reports read this."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from lamina.digest import Digest
from lamina.events import Outcome
from lamina.keys.decide import Foreseen
from lamina.keys.record import CacheKey, CacheRecord
from lamina.plan.steps import Stage, Step

#: How a stage came by its base: it was in the store, was fetched, is another stage, or is empty.
BaseOutcome = Literal["cached", "fetched", "stage", "scratch"]


class StepResult(Struct, frozen=True):
    """One step; `pending` in a forecast: it would run. `decision` is None for metadata; `seconds` is what it took now,
    `record.seconds` what it took when its layer was made. `kept`: it ran, came out with the same files as before (all
    but times), and keeps its earlier layer, so that what stands on it is still cached (DESIGN: "early cutoff"). `began`
    is when it began to run, in seconds since the epoch; 0 if it did not."""

    step: Step
    address: str
    outcome: Outcome | Literal["pending"]
    decision: Foreseen | None = None
    record: CacheRecord | None = None
    seconds: float = 0.0
    kept: bool = False
    possible: bool = False
    key: CacheKey | None = None
    began: float = 0.0


class StageResult(Struct, frozen=True):
    """One stage that the target needed, with its steps in order (up to the failed one, if one failed). `digest` is that
    of the image it stands on, if that is one."""

    stage: Stage
    base: BaseOutcome
    steps: tuple[StepResult, ...]
    digest: Digest | None = None
