"""The walk through one stage: decide each step, take it from the cache or carry it out, commit it.

The walk stops before the first step that must run when it has no runner, so a build in which everything is cached
starts no thread, enters no namespace and touches no layer.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, Digest
from lamina.engine.assemble import assemble
from lamina.engine.decision import Keyed, address, copied_before, decide, keyed, known, look_up
from lamina.engine.job import Below, Job, LayerLost, chain_of, is_of_content
from lamina.engine.reading import Outside, Reading
from lamina.engine.request import NotCached
from lamina.engine.world import Tools
from lamina.events import Outcome, Vertex
from lamina.keys.decide import Decision, Hit, Miss
from lamina.keys.outcome import BaseOutcome, StageResult, StepResult
from lamina.keys.record import CacheRecord
from lamina.oci.config import ImageConfig, decode_config
from lamina.plan.steps import CopyOp, ImageRef, MetaOp, RunOp, Scratch, Stage, StageRef, Step, origins

if TYPE_CHECKING:
    from lamina.engine.sharing import Sharing


class StageWalk:
    """The state of one stage. `chain` is the stack so far (None: empty), `key` its definition key."""

    def __init__(self, stage: Stage, job: Job, walks: dict[int, StageWalk], sharing: Sharing | None = None) -> None:
        self.sharing = sharing
        self.stage = stage
        self.job = job
        self.walks = walks
        self._reading = Reading(job, walks)
        self.results: list[StepResult] = []
        self.base_config: ImageConfig | None = None
        self.chain: ChainID | None = None
        self.key = Digest("")
        #: The layers of `chain`, lowest first.
        self.below: tuple[Below, ...] = ()
        #: The address of the last step above that ran for a reason of its own, empty while all were hits. What follows
        #: it runs because of it, and not because of the steps in between.
        self.missed = ""
        self.finished = threading.Event()
        self._begun = False
        #: What was found of the step at which the walk without tools stopped.
        self._stopped_at: tuple[Keyed, Decision] | None = None
        self._base: BaseOutcome = "cached"

    def go(self, tools: Tools | None) -> bool:
        """Walk on to the end, or without a runner to the first step that must run or wait. Whether it is finished.

        Raises BuildFailure of a step, Canceled when the build is to stop.
        """
        if not self._begun and not self._begin(wait=tools is not None):
            return False
        for step in self.stage.steps[len(self.results) :]:
            if isinstance(step.op, MetaOp):
                self.results.append(StepResult(step, address(self.stage.label, step), "metadata"))
                continue
            self.job.check()
            if not self._sources_ready(step, wait=tools is not None):
                return False
            result = self._step(step, tools)
            if result is None:
                return False
            self.results.append(result)
        self.finished.set()
        return True

    def config(self) -> ImageConfig:
        """The configuration of the image that the finished stage makes."""
        return assemble(self.stage, self.base_config, self.results, self.job.plan.epoch)

    def result(self) -> StageResult:
        """What became of the stage so far."""
        base = self.job.images.get(self.stage.base) if isinstance(self.stage.base, ImageRef) else None
        return StageResult(self.stage, self._base, tuple(self.results), base.digest if base else None)

    # --- the base and the sources ----------------------------------------------------------------------------------
    def _begin(self, *, wait: bool) -> bool:
        match self.stage.base:
            case Scratch():
                self.key = self.job.base_key(self.stage)
                self._base = "scratch"
            case StageRef(index=index):
                parent = self.walks[index]
                if not self._finished(parent, wait=wait):
                    return False
                self.key, self.chain, self.missed = parent.key, parent.chain, parent.missed
                self.base_config, self.below = parent.config(), parent.below
                self._base = "stage"
            case ImageRef() as image:
                base = self.job.images[image]
                self.base_config = decode_config(base.config_raw)
                self.key = self.job.base_key(self.stage)
                self.chain = chain_of(self.base_config)
                self.below = tuple(map(Below, self.base_config.rootfs.diff_ids))
        self._begun = True
        return True

    def _finished(self, other: StageWalk, *, wait: bool) -> bool:
        if wait:
            other.finished.wait()
            self.job.check()
        return other.finished.is_set()

    def _sources_ready(self, step: Step, *, wait: bool) -> bool:
        stages = (origin for origin in origins(step.op) if isinstance(origin, StageRef))
        return all(self._finished(self.walks[stage.index], wait=wait) for stage in stages)

    def materialize(self, *, unpacked: bool = True) -> None:
        """Have the layers of the stack so far in the store: they may be known by their digests alone, or be blobs that
        are to be unpacked, if asked. Raises BuildFailure, LayerLost."""
        records = [step.record for step in self.results if step.record and step.record.result]
        if self.sharing is not None:
            self.sharing.ahead([record.result for record in records if record.result], self.job)
        match self.stage.base:
            case StageRef(index=index):
                self.walks[index].materialize(unpacked=unpacked)
            case ImageRef() as image if self._lacks(image):
                base = self.job.images[image]
                if any(not self.job.world.blobs.has(layer.digest) for layer in base.layers):
                    self._base = "fetched"
                total = sum(not isinstance(step.op, MetaOp) for step in self.stage.steps) + 1
                name = f"{self._prefix(f'1/{total}')} FROM {self.stage.base_text}"
                self.job.fetch(base, name, self.stage.span, unpacked=unpacked)
        for record in records:
            if self.sharing is not None and record.result is not None:
                self.sharing.bring(record.result, self.job)
            if unpacked:
                self._unpack(record)

    def _unpack(self, record: CacheRecord) -> None:
        """Have a cached step's layer as a directory; all below it is there."""
        world, result, diff_id = self.job.world, record.result, record.diff_id
        if result is None or diff_id is None or world.snapshots.get(result) is not None:
            return
        with self.job.narrator.job(f"[internal] unpack {record.text}"):
            try:
                found = world.images.layer(record.parent, diff_id, repr(record.text))
            except BuildFailure as failure:
                if not is_of_content(failure):
                    raise
                if self.sharing is not None:
                    self.sharing.lost(result)
                raise LayerLost(failure) from failure
        if found is None:
            raise LayerLost(BuildFailure("store-snapshot-missing", f"the layer of {record.text!r} is gone"))

    def lacks_layers(self) -> bool:
        """Whether layers of this stage are in the shared cache alone."""
        base = self.stage.base
        below = isinstance(base, StageRef) and self.walks[base.index].lacks_layers()
        return below or (self.sharing is not None and any(map(self.sharing.is_away, self.results)))

    def _lacks(self, image: ImageRef) -> bool:
        chain = chain_of(decode_config(self.job.images[image].config_raw))
        return chain is not None and self.job.world.snapshots.get(chain) is None

    # --- one step --------------------------------------------------------------------------------------------------
    def _step(self, step: Step, tools: Tools | None) -> StepResult | None:
        found = self._stopped_at or self._decided(step, tools)
        self._stopped_at = None
        if found is None:
            return None
        wanted, decision = found
        if isinstance(decision, Hit):
            return self._apply(step, wanted, decision, decision.record, "cached", 0.0)
        if tools is None:
            self._stopped_at = (wanted, decision)
            return None
        world = self.job.world
        # Two stages or two builds that want the same step: the second waits here and then finds the first one's.
        with world.locks.hold(f"step-{wanted.content_key.partition(':')[2]}"), self.job.slots:
            self.job.check()
            hit = None if self.job.forced(self.stage.label) else look_up(world, wanted, self.chain)
            if hit is not None:
                return self._apply(step, wanted, hit, hit.record, "cached", 0.0)
            self.materialize()
            decision = self._observed(step, wanted, decision, tools)
            if isinstance(decision, Hit):
                return self._apply(step, wanted, decision, decision.record, "cached", 0.0)
            if self.job.request.fail_on_miss:
                self._give_up(step, wanted, decision, "pending", 0.0)
                raise NotCached(step, decision)
            started, began = time.monotonic(), time.time()
            try:
                with self.job.narrator.job(self._name(step), step.span) as vertex:
                    record, kept = self._carry_out(step, wanted, self._earlier(step, decision), tools, vertex)
            except BaseException as error:
                outcome: Outcome = "failed" if isinstance(error, BuildFailure) else "canceled"
                self._give_up(step, wanted, decision, outcome, time.monotonic() - started, began)
                raise
        before = decision.nearest
        if kept and before is not None and before.result == record.result:
            self.missed = ""  # what follows stands on the same files as before
        elif any(cause.kind != "parent" for cause in decision.causes):
            self.missed = address(self.stage.label, step)
        if self.sharing is not None:
            self.sharing.cache.offer(record)
        return replace(self._apply(step, wanted, decision, record, "done", record.seconds), kept=kept, began=began)

    def _observed(self, step: Step, wanted: Keyed, miss: Miss, tools: Tools) -> Decision:
        """The result of a step that was observed and saw nothing of what changed; else the miss, with what it saw."""
        if not self.job.request.observe or not isinstance(step.op, RunOp) or self.job.forced(self.stage.label):
            return miss
        from lamina.engine.observing import Broken, by_observation  # here, because few builds ask for it

        earlier = known(self.job, self.stage, step)
        found = by_observation(self.job.world, wanted, self.chain, self.below, earlier, tools)
        if not isinstance(found, Broken):
            return found or miss
        told = (replace(cause, look=found.look) if cause.kind == "parent" else cause for cause in miss.causes)
        return replace(miss, causes=tuple(told))

    def _earlier(self, step: Step, decision: Miss) -> CacheRecord | None:
        """What the step's outcome is compared and shared with; a step that is to run anew has nothing."""
        if self.job.forced(self.stage.label):
            return None
        if not isinstance(step.op, CopyOp):
            return decision.nearest
        return copied_before(self.job, self.stage, step, self.chain, decision.nearest)

    def _give_up(
        self,
        step: Step,
        wanted: Keyed,
        decision: Decision,
        outcome: Outcome | Literal["pending"],
        seconds: float,
        began: float = 0.0,
    ) -> None:
        """Note a step that ends the walk."""
        where = address(self.stage.label, step)
        self.results.append(StepResult(step, where, outcome, decision, seconds=seconds, key=wanted.key, began=began))

    def _decided(self, step: Step, tools: Tools | None) -> tuple[Keyed, Decision] | None:
        wanted = self._keyed(step, tools)
        return None if wanted is None else (wanted, self._decide(step, wanted))

    def _keyed(self, step: Step, tools: Tools | None) -> Keyed | None:
        inputs = self._reading.inputs(step, tools, self._name(step))
        if inputs is None:
            return None
        self.job.inputs[self.stage.index, step.ordinal] = inputs
        return keyed(step, self.key, self.chain, self.stage.platform, inputs, self.job.request)

    def _decide(self, step: Step, wanted: Keyed) -> Decision:
        if self.sharing is not None and not self.job.forced(self.stage.label):
            # Before a miss is explained: the shared cache would be asked for what to compare it with.
            hit = look_up(self.job.world, wanted, self.chain)
            hit = hit or self.sharing.look_up(wanted, self.chain, lambda: self._ahead(step, wanted))
            if hit is not None:
                return hit
        return decide(self.job, self.stage, step, wanted, self.chain, self.missed)

    def _ahead(self, step: Step, wanted: Keyed) -> list[Digest]:
        """The definition keys of the steps below, as far as they are known before anything was built."""
        keys: list[Digest] = []
        parent = wanted.key.digest
        for later in self.stage.steps[self.stage.steps.index(step) + 1 :]:
            if isinstance(later.op, MetaOp):
                continue
            if not self._sources_ready(later, wait=False):
                break
            inputs = self._reading.inputs(later, None, self._name(later))
            if inputs is None:
                break
            parent = keyed(later, parent, None, self.stage.platform, inputs, self.job.request).key.digest
            keys.append(parent)
        return keys

    def _apply(
        self, step: Step, wanted: Keyed, decision: Decision, record: CacheRecord, outcome: Outcome, seconds: float
    ) -> StepResult:
        if outcome == "cached":
            narrator = self.job.narrator
            narrator.end(narrator.begin(self._name(step), step.span), "cached")
            shared = isinstance(decision, Hit) and decision.origin == "shared"
            if not shared:
                here = self._as_it_is_here(step, wanted, record)
                new_way = isinstance(decision, Hit) and decision.how != "definition"
                if new_way or (here != record and not self._is_known(step, here)):
                    self.job.world.index.add(here)
                if self.sharing is not None:
                    self.sharing.cache.offer(here)
        self.chain, self.key = record.result, wanted.key.digest
        if record.diff_id is not None:
            self.below = (*self.below, Below(record.diff_id, record if isinstance(step.op, CopyOp) else None))
        return StepResult(step, address(self.stage.label, step), outcome, decision, record, seconds)

    def _as_it_is_here(self, step: Step, wanted: Keyed, record: CacheRecord) -> CacheRecord:
        """The record under this step's own key, so that the next build finds it by definition; and under its place and
        spelling, so that a later miss is compared with it."""
        where, project = address(self.stage.label, step), self.job.request.project
        return replace(record, key=wanted.key, address=where, project=project, text=step.text)

    def _is_known(self, step: Step, record: CacheRecord) -> bool:
        """Whether the same was written down before: two projects may use one result by turns."""
        names = (record.key.digest, record.address, record.project, record.text)
        earlier = known(self.job, self.stage, step)
        return any((one.key.digest, one.address, one.project, one.text) == names for one in earlier)

    def _carry_out(
        self, step: Step, wanted: Keyed, nearest: CacheRecord | None, tools: Tools, vertex: Vertex
    ) -> tuple[CacheRecord, bool]:
        def outside(scratch: Path) -> Outside:
            return self._reading.outside(step, wanted.inputs, tools, self._name(step), scratch)

        from lamina.engine.undertake import Undertaking  # here, because a build in which all is cached has none

        where = address(self.stage.label, step)
        architecture = self.stage.platform.architecture
        work = Undertaking(self.job, step, wanted, outside, self.chain, nearest, self.below, where, architecture)
        return work.carry_out(tools, vertex)

    def _name(self, step: Step) -> str:
        return f"{self._prefix(step.position)} {step.text}"

    def _prefix(self, position: str) -> str:
        alone = len(self.job.plan.stages) == 1 and not self.stage.named
        return f"[{position}]" if alone else f"[{self.stage.label} {position}]"
