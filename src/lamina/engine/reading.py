"""Where a step's reads come from: contexts, layers of other stages and images, downloads, heredocs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.digest import ChainID
from lamina.engine.inputs import (
    Inputs,
    Read,
    context_inputs,
    fetched_inputs,
    inline_inputs,
    joined,
    reads,
    remembered_inputs,
    stage_inputs,
)
from lamina.engine.job import Job, chain_of
from lamina.engine.world import Tools
from lamina.keys.compute import SourceFacts
from lamina.oci.config import decode_config
from lamina.plan.steps import BindMount, ContextRef, GitSource, HttpSource, ImageRef, Inline, Op, StageRef, Step
from lamina.ports.sources import ContextReader

#: What to read from: a context, or a stack of layers (or one plain directory), topmost first.
Place = ContextReader | tuple[Path, ...]


class Outside(Struct, frozen=True):
    """All that a step that is to run reads from outside its root: the facts of each read, and where it is."""

    inputs: Inputs = Inputs()
    places: tuple[Place, ...] = ()

    def each(self, op: Op) -> Iterator[tuple[Place, Read, SourceFacts]]:
        """Place, read and facts of every read, in order."""
        return zip(self.places, reads(op), self.inputs.sources, strict=True)


class Layers(Protocol):
    """A stage that is finished, as the others read it: its stack, which `materialize` puts into the store."""

    chain: ChainID | None

    def materialize(self) -> None: ...


class Reading:
    """The reads of a build's steps. A step is given with the name of its vertex; `stages` are all stages by index."""

    def __init__(self, job: Job, stages: Mapping[int, Layers]) -> None:
        self._job = job
        self._stages = stages

    def inputs(self, step: Step, tools: Tools | None, name: str, *, known: bool = True) -> Inputs | None:
        """All that a step reads; None if something must be fetched or read first, and there are no tools for that yet.

        With `known`, layers that were looked into before are not looked into again; the selections are empty then.
        """
        parts = []
        for read in reads(step.op):
            try:
                found = self._one(read, step, tools, name, known=known)
            except BuildFailure as failure:
                raise failure.at(step.span) from None
            if found is None:
                return None
            parts.append(found)
        return joined(parts)

    def outside(self, step: Step, inputs: Inputs, tools: Tools, name: str, scratch: Path) -> Outside:
        """What a step that must run reads, ready to be read; `inputs` is what its key was computed from."""
        wanted = reads(step.op)
        if not wanted:
            return Outside()
        known = zip(wanted, inputs.sources, strict=True)
        if any(not facts.selections and not isinstance(read.by, BindMount) for read, facts in known):
            # Remembered: the digests are known, what is to be copied is not.
            inputs = self.inputs(step, tools, name, known=False) or inputs
        return Outside(inputs, tuple(self._place(read, step, name, scratch) for read in wanted))

    def _place(self, read: Read, step: Step, name: str, scratch: Path) -> Place:
        source, origin = read.source, read.origin
        if isinstance(source, Inline):
            return (_written(source, scratch),)
        if not isinstance(source, str):
            return (self._job.fetched(source, step.span).root,)
        if origin is None or isinstance(origin, ContextRef):
            return self.context(origin)
        return self.stack(origin, step, name)

    def outer(self, read: Read, span: Span) -> Inputs:
        """What is read of a build context, a heredoc or the web (fetched now, if need be)."""
        source, origin = read.source, read.origin
        assert not isinstance(origin, StageRef | ImageRef)
        if isinstance(source, Inline):
            return inline_inputs(read, source)
        if not isinstance(source, str):
            return fetched_inputs(read, self._job.fetched(source, span))
        return context_inputs(read, self.context(origin), span)

    def stack(self, origin: StageRef | ImageRef, step: Step, name: str) -> tuple[Path, ...]:
        """The layers of another stage or image, topmost first, fetched if need be."""
        chain = self._chain(origin)
        snapshots = self._job.world.snapshots
        if isinstance(origin, StageRef):
            self._stages[origin.index].materialize()
        elif chain is not None and snapshots.get(chain) is None:
            self._job.fetch(self._job.images[origin], f"{name} {origin.name}", step.span)
        return snapshots.stack(chain)

    def context(self, origin: ContextRef | None) -> ContextReader:
        """The build context, or a named one."""
        world = self._job.world
        return world.context if origin is None else world.contexts[origin.name]

    def _one(self, read: Read, step: Step, tools: Tools | None, name: str, *, known: bool) -> Inputs | None:
        source, origin = read.source, read.origin
        if isinstance(source, HttpSource | GitSource) and tools is None:
            return None  # nothing is fetched: the other stages shall not wait for it
        if not isinstance(source, str) or not isinstance(origin, StageRef | ImageRef):
            return self.outer(read, step.span)
        chain, facts = self._chain(origin), self._job.world.facts
        found = remembered_inputs(read, chain, facts) if known else None
        if found is not None or tools is None:
            return found
        return stage_inputs(read, chain, self.stack(origin, step, name), tools.layers, facts, step.span)

    def _chain(self, origin: StageRef | ImageRef) -> ChainID | None:
        if isinstance(origin, StageRef):
            return self._stages[origin.index].chain
        return chain_of(decode_config(self._job.images[origin].config_raw))


def _written(inline: Inline, scratch: Path) -> Path:
    """A heredoc's file in a directory of its own, to be copied from."""
    from tempfile import mkdtemp  # here, because most builds have no heredocs to write

    folder = Path(mkdtemp(prefix="heredoc-", dir=scratch))
    (folder / inline.name).write_bytes(inline.content.encode("utf-8", "surrogateescape"))
    return folder
