"""Making one step's layer and committing it: the only place where the store gains a step.

Order: layer directory, snapshot, file facts, then the record, which is the commit point (DESIGN: "The store").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, Digest
from lamina.engine import execute
from lamina.engine.decision import Keyed
from lamina.engine.job import Below, Job, is_of_content
from lamina.engine.observing import Seen, observable, observed, stack_of
from lamina.engine.reading import Outside
from lamina.engine.reuse import earlier_layer
from lamina.engine.world import Tools
from lamina.events import Vertex
from lamina.keys.compute import times_part
from lamina.keys.record import CacheRecord
from lamina.keys.schema import PARENT
from lamina.plan.steps import CopyOp, RunOp, Step, WorkdirOp
from lamina.ports.layers import LayerDiff
from lamina.ports.storing import Snapshot, Workspace


class Undertaking(Struct, frozen=True):
    """A step that must run, with all that it needs. `outside(scratch)` gets ready what it reads; `nearest` is the
    record that the missed key was compared with; `below` are the layers under the step;
    `architecture` is that of the stage."""

    job: Job
    step: Step
    wanted: Keyed
    outside: Callable[[Path], Outside]
    parent: ChainID | None
    nearest: CacheRecord | None
    below: tuple[Below, ...]
    address: str
    architecture: str

    def carry_out(self, tools: Tools, vertex: Vertex) -> tuple[CacheRecord, bool]:
        """Run the step above its parent and commit it. Gives its record, and whether the layer is the earlier one.

        Raises BuildFailure; nothing is left behind then.
        """
        if isinstance(self.step.op, RunOp) and self._is_to_be_observed():
            try:
                return self._carry_out(tools, vertex, observe=True)
            except BuildFailure as failure:
                # Nothing of the attempt is left; the step runs again the ordinary way.
                if failure.diagnostic.reference == "runtime-observer-lost":
                    self.job.narrator.note(vertex, f"runs again, not observed: {failure.diagnostic.message}")
                elif failure.diagnostic.reference == "runtime-no-observer":
                    self.job.stop_observing(failure)
                else:
                    raise
        return self._carry_out(tools, vertex, observe=False)

    def _is_plain(self, seen: Seen | None) -> bool:
        """Whether observing the step is not worth it: found out now, or known from an earlier time."""
        if seen is None:
            return self.nearest is not None and self.nearest.plain
        return seen.observations is None

    def _is_to_be_observed(self) -> bool:
        worth = self.nearest is None or not self.nearest.plain
        return self.job.observes and worth and observable(self.below)

    def _carry_out(self, tools: Tools, vertex: Vertex, *, observe: bool) -> tuple[CacheRecord, bool]:
        world = self.job.world
        started = time.monotonic()
        seen: Seen | None = None
        with world.snapshots.begin(None if self.wanted.linked else self.parent) as work:
            outside = self.outside(work.scratch)
            if observe:
                seen = self._act_observed(tools, work, outside, vertex)
            else:
                self._act(tools, work, outside, vertex)
            self.job.check()
            diff = tools.layers.diff(work.upper, self.job.request.times)
            kept = self._same_as_before(diff)
            snapshot = kept or world.snapshots.commit(work, self.parent, diff.diff_id, diff.size, disk=diff.disk)
        self._keep_facts(outside)
        record = CacheRecord(
            key=self.wanted.key,
            content_key=self.wanted.content_key,
            address=self.address,
            project=self.job.request.project,
            text=self.step.text,
            parent=self.parent,
            result=snapshot.chain_id,
            diff_id=snapshot.diff_id,
            files=diff.files,
            seconds=time.monotonic() - started,
            size=diff.size,
            # The image's history tells when a layer was made: an image of the same layers is the same image.
            created=self.nearest.created if kept is not None and self.nearest is not None else world.now(),
            build=self.job.request.build,
            version=world.version,
            looks=world.observations.put(seen.observations) if seen and seen.observations else None,
            stack=stack_of(self.below) if seen and seen.observations else (),
            plain=self._is_plain(seen),
        )
        world.index.add(record)
        return record, kept is not None

    def _keep_facts(self, outside: Outside) -> None:
        """What the step read, and what it stands on, for explanations."""
        facts = self.job.world.facts
        before = [part.files for part in self.nearest.key.parts if part.files] if self.nearest is not None else []
        for number, (digest, records) in enumerate(outside.inputs.records.items()):
            facts.put(digest, records, like=before[number] if number < len(before) else None)
        for part in self.wanted.key.parts:
            base = self.job.bases.get(Digest(part.value)) if part.name == PARENT else None
            if base is not None and facts.recall(Digest(part.value)) != base:
                facts.remember(Digest(part.value), base)

    def _same_as_before(self, diff: LayerDiff) -> Snapshot | None:
        """The layer that this step made the last time, if it holds the same but for times: early cutoff.

        What stands on it is then found by content. A copy is left alone: its times are those of its sources.
        """
        before = self.nearest
        if before is None or before.diff_id is None or before.files != diff.files or isinstance(self.step.op, CopyOp):
            return None
        if self.job.request.times is not None and before.diff_id != diff.diff_id:
            return None  # a store that has no earlier layer would give another image
        try:
            return self.job.world.images.layer(self.parent, before.diff_id, repr(before.text))
        except BuildFailure as failure:
            if not is_of_content(failure):
                raise
            return None  # what a blob said that it was; there is a layer now

    def _keeps_times(self) -> bool:
        """Whether files that an observed copy takes over keep the times of its earlier layer. In a reproducible build
        only those of another such layer, whose times are no older than its limit."""
        request, before = self.job.request, self.nearest
        return request.observe and before is not None and set(times_part(request.times)) <= set(before.key.parts)

    def _act_observed(self, tools: Tools, work: Workspace, outside: Outside, vertex: Vertex) -> Seen:
        with observed(self.job.world, self.below, work) as observing:
            try:
                self._act(tools, observing.work, outside, vertex)
            except (BuildFailure, OSError):
                observing.check()  # files that the observer could no longer show make steps fail, or their preparation
                raise
            return observing.seen(tools)

    def _act(self, tools: Tools, work: Workspace, outside: Outside, vertex: Vertex) -> None:
        match self.step.op:
            case RunOp() as op:
                tail = execute.Tail(self.job.narrator.output(vertex))
                execute.run(op, self.step, self.job, tools, work, outside, self.architecture, tail)
            case CopyOp() as op:
                execute.copy(
                    op,
                    outside,
                    tools,
                    work,
                    earlier_layer(op, self.nearest, self.job.world, times=self._keeps_times()),
                )
            case WorkdirOp() as op:
                execute.workdir(op, tools, work)
