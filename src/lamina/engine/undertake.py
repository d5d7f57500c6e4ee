"""Making one step's layer and committing it: the only place where the store gains a step.

Order: layer directory, snapshot, file facts, then the record, which is the commit point (DESIGN: "The store").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lamina.digest import ChainID
from lamina.engine import execute
from lamina.engine.decision import Keyed
from lamina.engine.job import Job
from lamina.engine.reading import Outside
from lamina.engine.reuse import earlier_layer
from lamina.engine.world import Tools
from lamina.events import Vertex
from lamina.keys.record import CacheRecord
from lamina.plan.steps import CopyOp, RunOp, Step, WorkdirOp
from lamina.ports import LayerDiff, Snapshot, Workspace


class Undertaking(Struct, frozen=True):
    """A step that must run, with all that it needs. `outside(scratch)` gets ready what it reads; `nearest` is the
    record that the missed key was compared with; `architecture` is that of the stage."""

    job: Job
    step: Step
    wanted: Keyed
    outside: Callable[[Path], Outside]
    parent: ChainID | None
    nearest: CacheRecord | None
    address: str
    architecture: str

    def carry_out(self, tools: Tools, vertex: Vertex) -> CacheRecord:
        """Run the step above its parent and commit it. Raises BuildFailure; nothing is left behind then."""
        world = self.job.world
        started = time.monotonic()
        with world.snapshots.begin(None if self.wanted.linked else self.parent) as work:
            outside = self.outside(work.scratch)
            self._act(tools, work, outside, vertex)
            self.job.check()
            diff = tools.layers.diff(work.upper)
            snapshot = self._same_as_before(diff) or world.snapshots.commit(work, self.parent, diff.diff_id, diff.size)
        for digest, records in outside.inputs.records.items():
            world.facts.put(digest, records)
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
            created=world.now(),
            build=self.job.request.build,
            version=world.version,
        )
        world.index.add(record)
        return record

    def _same_as_before(self, diff: LayerDiff) -> Snapshot | None:
        """The layer that this step made the last time, if it holds the same but for times: early cutoff.

        What stands on it is then found by content. A copy is left alone: its times are those of its sources.
        """
        before = self.nearest
        if before is None or before.diff_id is None or before.files != diff.files or isinstance(self.step.op, CopyOp):
            return None
        return self.job.world.snapshots.adopt(self.parent, before.diff_id)

    def _act(self, tools: Tools, work: Workspace, outside: Outside, vertex: Vertex) -> None:
        match self.step.op:
            case RunOp() as op:
                tail = execute.Tail(self.job.narrator.output(vertex))
                execute.run(op, self.step, self.job, tools, work, outside, self.architecture, tail)
            case CopyOp() as op:
                execute.copy(op, outside, tools, work, earlier_layer(op, self.nearest, self.job.world))
            case WorkdirOp() as op:
                execute.workdir(op, tools, work)
