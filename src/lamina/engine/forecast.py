"""What a build would do, without doing it: the same keys, lookups and reasons, and no step runs."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from lamina.digest import ChainID, Digest, chain_id
from lamina.engine.decision import Keyed, address, candidates, copied_before, decide, keyed, known, look_up
from lamina.engine.foreseen import Copying, foreseen
from lamina.engine.inputs import Read, reads
from lamina.engine.job import Below, Job, chain_of
from lamina.engine.observing import Broken
from lamina.engine.reading import Reading
from lamina.engine.request import BuildRequest
from lamina.engine.resolve import job_of
from lamina.engine.sharing import Sharing
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.keys.compute import over
from lamina.keys.decide import Decision, Foreseen, Hit, Miss, MissCause, Unkeyed
from lamina.keys.outcome import BaseOutcome, StageResult, StepResult
from lamina.keys.schema import PARENT
from lamina.oci.config import decode_config
from lamina.plan.remote import shown
from lamina.plan.steps import (
    CopyOp,
    GitSource,
    HttpSource,
    ImageRef,
    MetaOp,
    Plan,
    RunOp,
    Scratch,
    Stage,
    StageRef,
    Step,
    origins,
)
from lamina.ports.images import BaseImage


class Forecast(Struct, frozen=True):
    """The stages that the target needs, in order. A step that would run has the outcome `pending`, and as its seconds
    those that it took the last time (0 if it never ran). A step is `possible` if it is cached in case the steps
    above it that would run come out with the same files as before. `images` are those from elsewhere that it would
    stand on."""

    stages: tuple[StageResult, ...]
    images: dict[ImageRef, BaseImage] = {}

    @property
    def seconds(self) -> float:
        """What all steps that would run took the last time, one after the other."""
        return sum(step.seconds for stage in self.stages for step in stage.steps)

    @property
    def least(self) -> float:
        """The same, if every step that may come out as it did does."""
        return sum(step.seconds for stage in self.stages for step in stage.steps if not step.possible)

    @property
    def all_cached(self) -> bool:
        return all(step.outcome != "pending" for stage in self.stages for step in stage.steps)


def forecast(request: BuildRequest, world: World, reporter: Reporter) -> Forecast:
    """Look up every step of the target without running any. Raises BuildFailure as a build does up to its first step.

    Nothing is written but what makes the next look faster, and no privilege is needed.
    """
    job = job_of(request, world, reporter)
    sharing = Sharing(world.shared) if world.shared is not None else None
    walks: dict[int, _Foresight] = {}
    for stage in job.plan.stages:
        walks[stage.index] = _Foresight(stage, job, walks, sharing)
    for walk in walks.values():
        walk.go()
    return Forecast(tuple(walk.result() for walk in walks.values()), job.images)


class _Foresight:
    """One stage. `chain` and `key` are true as long as the stage is `certain`: no step above would run. From then on
    `chain` is what it would be if each RUN and WORKDIR came out as it did before (early cutoff), and not `known` where
    nobody can tell: below files that have changed.

    `behind` names what a key cannot be known before: stages, or addresses on the web.
    """

    def __init__(self, stage: Stage, job: Job, walks: dict[int, _Foresight], sharing: Sharing | None = None) -> None:
        self.stage = stage
        self._sharing = sharing
        self.chain: ChainID | None = None
        self.certain = True
        self.known = True
        self._job = job
        self._walks = walks
        self._reading = Reading(job, walks)
        self._key = Digest("")
        self._missed = ""
        self._behind: tuple[str, ...] = ()
        #: The layers of the stack, lowest first; None where a step would make one that nobody knows.
        self._below: tuple[Below | Copying, ...] | None = ()
        #: The keys of the step that was decided last, if they are known.
        self._wanted: Keyed | None = None
        self._results: list[StepResult] = []
        self._base: BaseOutcome = "cached"

    def materialize(self) -> None:
        """Nothing is read of layers here."""

    def result(self) -> StageResult:
        base = self._job.images.get(self.stage.base) if isinstance(self.stage.base, ImageRef) else None
        return StageResult(self.stage, self._base, tuple(self._results), base.digest if base else None)

    def go(self) -> None:
        self._begin()
        for step in self.stage.steps:
            where = address(self.stage.label, step)
            if isinstance(step.op, MetaOp):
                self._results.append(StepResult(step, where, "metadata"))
                continue
            decision = self._observed(step, self._decide(step, where))
            self._stack(step, decision)
            if isinstance(decision, Hit):
                self._results.append(StepResult(step, where, "cached", decision, decision.record))
                continue
            possible = self._follow(step, decision)
            self.certain = False
            seconds = decision.nearest.seconds if decision.nearest else 0.0
            key = self._wanted.key if self._wanted else None
            self._results.append(
                StepResult(step, where, "pending", decision, seconds=seconds, possible=possible, key=key)
            )

    def _observed(self, step: Step, decision: Foreseen) -> Foreseen:
        """A step that would run, and was observed on files of which none that it looked at has changed, is cached."""
        wanted = self._wanted
        if not self._job.request.observe or not isinstance(decision, Miss) or not isinstance(step.op, RunOp):
            return decision
        if wanted is None or self._below is None or self._job.forced(self.stage.label):
            return decision
        found = foreseen(self._job.world, wanted, self._below, known(self._job, self.stage, step))
        if not isinstance(found, Broken):
            return found or decision
        told = (replace(cause, look=found.look) if cause.kind == "parent" else cause for cause in decision.causes)
        return replace(decision, causes=tuple(told))

    def _stack(self, step: Step, decision: Foreseen) -> None:
        """The layers below the next step, with those that a COPY would make; unknown where any other step would run."""
        if self._below is None:
            return
        record = decision.record if isinstance(decision, Hit) else None
        if record is not None and record.diff_id is not None:
            self._below += (Below(record.diff_id, record if isinstance(step.op, CopyOp) else None),)
        elif isinstance(decision, Miss) and isinstance(step.op, CopyOp) and self._wanted is not None:
            before = decision.nearest
            if self.certain:  # on a stack that is yet to come there is no earlier one
                before = copied_before(self._job, self.stage, step, self.chain, before)
            self._below += (Copying(self._wanted, before),)
        elif record is None:
            self._below = None

    def _follow(self, step: Step, decision: Miss | Unkeyed) -> bool:
        """Go on to the stack that a step would leave if what it stands on came out as before. Whether it would be
        cached then."""
        if isinstance(decision, Unkeyed) or not self.known or self._wanted is None:
            self.known = self.known and isinstance(decision, Unkeyed) and decision.nearest is not None
            if self.known and decision.nearest is not None:
                self.chain = decision.nearest.result
            return isinstance(decision, Unkeyed)
        if not self.certain:
            content_key = over(self._wanted.key, self.chain or ChainID("scratch"))
            record = self._job.world.index.find(content_key)
            if record is not None and record.parent == self.chain and not self._job.forced(self.stage.label):
                self.chain = record.result
                return True
        before = decision.nearest
        changes = isinstance(step.op, CopyOp) and not _shows_nowhere(decision, self._wanted)
        if before is None or before.diff_id is None or changes:
            self.known = False
        else:
            self.chain = chain_id(self.chain, before.diff_id)
        return False

    def _begin(self) -> None:
        match self.stage.base:
            case Scratch():
                self._key = self._job.base_key(self.stage)
                self._base = "scratch"
            case StageRef(index=index):
                parent = self._walks[index]
                self._key, self.chain, self._missed = parent._key, parent.chain, parent._missed
                self.certain, self.known, self._behind = parent.certain, parent.known, parent._behind
                self._below = parent._below
                self._base = "stage"
            case ImageRef() as image:
                base = self._job.images[image]
                self._key = self._job.base_key(self.stage)
                config = decode_config(base.config_raw)
                self.chain, self._below = chain_of(config), tuple(map(Below, config.rootfs.diff_ids))

    def _decide(self, step: Step, where: str) -> Foreseen:
        self._behind = tuple(dict.fromkeys((*self._behind, *self._unknown_sources(step))))
        inputs = None if self._behind else self._reading.inputs(step, None, step.text)
        self._wanted = None
        if inputs is None:
            return self._unkeyed(step)
        wanted = keyed(step, self._key, self.chain, self.stage.platform, inputs, self._job.request)
        self._key, self._wanted = wanted.key.digest, wanted
        decision: Decision | None = self._linked(wanted) if wanted.linked else None
        if decision is None:
            decision = self._elsewhere(wanted) or decide(
                self._job, self.stage, step, wanted, self.chain, self._missed, certain=self.certain
            )
        if isinstance(decision, Hit):
            diff_id = decision.record.diff_id
            self.chain = chain_id(self.chain, diff_id) if diff_id is not None else self.chain
        elif isinstance(decision, Miss) and any(cause.kind != "parent" for cause in decision.causes):
            self._missed = where
        return decision

    def _elsewhere(self, wanted: Keyed) -> Hit | None:
        """The step in the shared cache, if the store lacks it."""
        if self._sharing is None or not self.certain or self._job.forced(self.stage.label):
            return None
        return look_up(self._job.world, wanted, self.chain) or self._sharing.look_up(wanted, self.chain, lambda: ())

    def _linked(self, wanted: Keyed) -> Hit | None:
        """The layer of a COPY --link fits any parent, so also one that is not there yet."""
        if self.certain or self._job.forced(self.stage.label):
            return None
        record = self._job.world.index.find(wanted.key.digest)
        return Hit(record, "content") if record is not None else None

    def _unkeyed(self, step: Step) -> Unkeyed | Miss:
        nearest = next(iter(candidates(self._job, self.stage, step)), None)
        if self._missed:
            return Miss((MissCause("parent", PARENT, origin=self._missed),), nearest)
        self._behind = self._behind or tuple(_named(read, self._job.plan) for read in reads(step.op))
        return Unkeyed(self._behind, nearest)

    def _unknown_sources(self, step: Step) -> tuple[str, ...]:
        stages = [self._walks[origin.index] for origin in origins(step.op) if isinstance(origin, StageRef)]
        return tuple(walk.stage.label for walk in stages if not walk.certain)


def _shows_nowhere(miss: Miss, wanted: Keyed) -> bool:
    """Whether all that changed is the mode of directories whose contents are copied: that is in the key, and in no
    layer, because the destination keeps its own."""
    bases = {one.base for facts in wanted.inputs.sources for one in facts.selections if one.is_dir} | {"."}
    own = [cause for cause in miss.causes if cause.kind != "parent"]
    return bool(own) and all(
        cause.total == len(cause.files) > 0
        and all(change.kind == "mode" and change.path in bases for change in cause.files)
        for cause in own
    )


def _named(read: Read, plan: Plan) -> str:
    """What a read is of, for people."""
    if isinstance(read.source, HttpSource | GitSource):
        return shown(read.source.url)
    return plan.stage(read.origin.index).label if isinstance(read.origin, StageRef) else str(read.source)
