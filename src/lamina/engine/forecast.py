"""What a build would do, without doing it: the same keys, lookups and reasons, and no step runs."""

from __future__ import annotations

from msgspec import Struct

from lamina.digest import ChainID, Digest
from lamina.engine.decision import Keyed, address, decide, keyed
from lamina.engine.inputs import Read, reads
from lamina.engine.job import Job, chain_of
from lamina.engine.narrator import Narrator
from lamina.engine.reading import Reading
from lamina.engine.request import BuildRequest
from lamina.engine.resolve import resolve_plan
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.keys.compute import base_key
from lamina.keys.decide import Decision, Foreseen, Hit, Miss, MissCause, Unkeyed
from lamina.keys.outcome import BaseOutcome, StageResult, StepResult
from lamina.keys.schema import PARENT
from lamina.oci.config import decode_config
from lamina.plan.remote import shown
from lamina.plan.steps import (
    GitSource,
    HttpSource,
    ImageRef,
    MetaOp,
    Plan,
    Scratch,
    Stage,
    StageRef,
    Step,
    origins,
)


class Forecast(Struct, frozen=True):
    """The stages that the target needs, in order. A step that would run has the outcome `pending`, and as its seconds
    those that it took the last time (0 if it never ran)."""

    stages: tuple[StageResult, ...]

    @property
    def seconds(self) -> float:
        """What all steps that would run took the last time, one after the other."""
        return sum(step.seconds for stage in self.stages for step in stage.steps)

    @property
    def all_cached(self) -> bool:
        return all(step.outcome != "pending" for stage in self.stages for step in stage.steps)


def forecast(request: BuildRequest, world: World, reporter: Reporter) -> Forecast:
    """Look up every step of the target without running any. Raises BuildFailure as a build does up to its first step.

    Nothing is written but what makes the next look faster, and no privilege is needed.
    """
    narrator = Narrator(reporter)
    plan, images = resolve_plan(request, world.images, narrator)
    job = Job(request, world, narrator, plan, images)
    walks: dict[int, _Foresight] = {}
    for stage in plan.stages:
        walks[stage.index] = _Foresight(stage, job, walks)
    for walk in walks.values():
        walk.go()
    return Forecast(tuple(walk.result() for walk in walks.values()))


class _Foresight:
    """One stage. `chain` and `key` are true as long as the stage is `certain`: no step above would run.

    `behind` names what a key cannot be known before: stages, or addresses on the web.
    """

    def __init__(self, stage: Stage, job: Job, walks: dict[int, _Foresight]) -> None:
        self.stage = stage
        self.chain: ChainID | None = None
        self.certain = True
        self._job = job
        self._walks = walks
        self._reading = Reading(job, walks)
        self._key = Digest("")
        self._missed = ""
        self._behind: tuple[str, ...] = ()
        self._results: list[StepResult] = []
        self._base: BaseOutcome = "cached"

    def materialize(self) -> None:
        """Nothing is read of layers here."""

    def result(self) -> StageResult:
        return StageResult(self.stage, self._base, tuple(self._results))

    def go(self) -> None:
        self._begin()
        for step in self.stage.steps:
            where = address(self.stage.label, step)
            if isinstance(step.op, MetaOp):
                self._results.append(StepResult(step, where, "metadata"))
                continue
            decision = self._decide(step, where)
            if isinstance(decision, Hit):
                self._results.append(StepResult(step, where, "cached", decision, decision.record))
                continue
            self.certain = False
            seconds = decision.nearest.seconds if decision.nearest else 0.0
            self._results.append(StepResult(step, where, "pending", decision, seconds=seconds))

    def _begin(self) -> None:
        match self.stage.base:
            case Scratch():
                self._key = base_key(None, self.stage.platform).digest
                self._base = "scratch"
            case StageRef(index=index):
                parent = self._walks[index]
                self._key, self.chain, self._missed = parent._key, parent.chain, parent._missed
                self.certain, self._behind = parent.certain, parent._behind
                self._base = "stage"
            case ImageRef() as image:
                base = self._job.images[image]
                self._key = base_key(base.digest, self.stage.platform).digest
                self.chain = chain_of(decode_config(base.config_raw))

    def _decide(self, step: Step, where: str) -> Foreseen:
        self._behind = tuple(dict.fromkeys((*self._behind, *self._unknown_sources(step))))
        inputs = None if self._behind else self._reading.inputs(step, None, step.text)
        if inputs is None:
            return self._unkeyed(step, where)
        wanted = keyed(step, self._key, self.chain, self.stage.platform, inputs, self._job.request)
        self._key = wanted.key.digest
        decision: Decision | None = self._linked(wanted) if wanted.linked else None
        if decision is None:
            decision = decide(
                self._job.world,
                wanted,
                self.chain if self.certain else None,
                address=where,
                text=step.text,
                project=self._job.request.project,
                missed=self._missed,
                forced=self._job.forced(self.stage.label),
            )
        if isinstance(decision, Hit):
            self.chain = decision.record.result
        elif isinstance(decision, Miss) and any(cause.kind != "parent" for cause in decision.causes):
            self._missed = where
        return decision

    def _linked(self, wanted: Keyed) -> Hit | None:
        """The layer of a COPY --link fits any parent, so also one that is not there yet."""
        if self.certain or self._job.forced(self.stage.label):
            return None
        record = self._job.world.index.find(wanted.key.digest)
        return Hit(record, "content") if record is not None else None

    def _unkeyed(self, step: Step, where: str) -> Unkeyed | Miss:
        found = self._job.world.index.nearest(where, self._job.request.project, step.text)
        nearest = found[0] if found else None
        if self._missed:
            return Miss((MissCause("parent", PARENT, origin=self._missed),), nearest)
        self._behind = self._behind or tuple(_named(read, self._job.plan) for read in reads(step.op))
        return Unkeyed(self._behind, nearest)

    def _unknown_sources(self, step: Step) -> tuple[str, ...]:
        stages = [self._walks[origin.index] for origin in origins(step.op) if isinstance(origin, StageRef)]
        return tuple(walk.stage.label for walk in stages if not walk.certain)


def _named(read: Read, plan: Plan) -> str:
    """What a read is of, for people."""
    if isinstance(read.source, HttpSource | GitSource):
        return shown(read.source.url)
    return plan.stage(read.origin.index).label if isinstance(read.origin, StageRef) else str(read.source)
