"""Making one step's layer and committing it: the only place where the store gains a step.

Order: layer directory, snapshot, file facts, then the record, which is the commit point (DESIGN: "The store").
"""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

from lamina.digest import ChainID
from lamina.engine import execute
from lamina.engine.decision import Keyed
from lamina.engine.inputs import CopyInputs
from lamina.engine.job import Job
from lamina.engine.reuse import earlier_layer
from lamina.engine.world import Tools
from lamina.events import Vertex
from lamina.keys.record import CacheRecord
from lamina.plan.steps import CopyOp, RunOp, Step, WorkdirOp
from lamina.ports import Workspace


class Undertaking(Struct, frozen=True):
    """A step that must run, with all that it needs. `stack` is what a COPY --from reads, topmost layer first;
    `nearest` is the record that the missed key was compared with."""

    job: Job
    step: Step
    wanted: Keyed
    inputs: CopyInputs
    stack: tuple[Path, ...] | None
    parent: ChainID | None
    nearest: CacheRecord | None
    address: str

    def carry_out(self, tools: Tools, vertex: Vertex) -> CacheRecord:
        """Run the step above its parent and commit it. Raises BuildFailure; nothing is left behind then."""
        world = self.job.world
        started = time.monotonic()
        with world.snapshots.begin(self.parent) as work:
            self._act(tools, work, vertex)
            self.job.check()
            diff = tools.layers.diff(work.upper)
            snapshot = world.snapshots.commit(work, self.parent, diff.diff_id, diff.size)
        for digest, records in self.inputs.records.items():
            world.facts.put(digest, records)
        record = CacheRecord(
            key=self.wanted.key,
            content_key=self.wanted.content_key,
            address=self.address,
            project=self.job.request.project,
            text=self.step.text,
            parent=self.parent,
            result=snapshot.chain_id,
            diff_id=diff.diff_id,
            files=diff.files,
            seconds=time.monotonic() - started,
            size=diff.size,
            created=world.now(),
            build=self.job.request.build,
            version=world.version,
        )
        world.index.add(record)
        return record

    def _act(self, tools: Tools, work: Workspace, vertex: Vertex) -> None:
        match self.step.op:
            case RunOp() as op:
                tail = execute.Tail(self.job.narrator.output(vertex))
                execute.run(op, self.step, self.job, tools, work, tail)
            case CopyOp() as op:
                earlier = earlier_layer(op, self.nearest, self.job.world)
                execute.copy(op, self.inputs, self.stack, self.job.world.context, tools, work, earlier)
            case WorkdirOp() as op:
                execute.workdir(op, tools, work)
