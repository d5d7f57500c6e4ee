"""By observation: a step that looked at nothing of what has changed keeps its layer (DESIGN §4, ADR 13).

A RUN can be shown the layers that COPY and ADD made through file systems that note every look. Later, on a stack in
which nothing but copied layers differs, each look is answered anew: if all answers are the same, the step would do the
same, and its layer is put on the new stack as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, chain_id
from lamina.engine.decision import Keyed
from lamina.engine.job import Below
from lamina.engine.reuse import copied_contents
from lamina.engine.world import Tools, World
from lamina.keys.decide import Hit
from lamina.keys.filetree import FileRecord
from lamina.keys.looks import Look, Observations, SeenLayer, Stack, first_broken, fits
from lamina.keys.record import CacheKey, CacheRecord
from lamina.keys.schema import PARENT
from lamina.ports.running import Watched
from lamina.ports.storing import Workspace

#: A step that reads more than half of so many copied files gains nothing from being observed, and is slower for it.
_MANY = 200


class Seen(Struct, frozen=True):
    """What was noted of a step: `observations`, or None if there were so many that they are not worth keeping."""

    observations: Observations | None


class Broken(Struct, frozen=True):
    """Why a step cannot keep its layer: the first look that is answered otherwise now."""

    look: Look


def stack_of(below: Sequence[Below]) -> Stack:
    """The layers as a record keeps them."""
    return tuple((layer.diff_id, layer.copied is not None) for layer in below)


def observable(below: Sequence[Below]) -> bool:
    """Whether looks into the copied layers tell all: there are some, and no layer twice, of which a mount shows one."""
    layers = [layer.diff_id for layer in below]
    return len(set(layers)) == len(layers) and any(layer.copied is not None for layer in below)


def by_observation(
    world: World,
    wanted: Keyed,
    chain: ChainID | None,
    below: Sequence[Below],
    candidates: Sequence[CacheRecord],
    tools: Tools,
) -> Hit | Broken | None:
    """The result of an earlier run of the same step that saw nothing of what differs now, put on this stack.

    None if the step was never observed on a stack like this.
    """
    broken = None
    stack = stack_of(below)
    for record in candidates:
        if record.looks is None or record.diff_id is None or not fits(stack, record.stack):
            continue
        if own_parts(record.key) != own_parts(wanted.key):
            continue
        observations = world.observations.get(record.looks)
        if observations is None:
            continue
        look = _first_broken(world, record, observations, below, tools)
        if look is not None:
            broken = broken or Broken(look)
            continue
        snapshot = world.images.layer(chain, record.diff_id, repr(record.text))
        if snapshot is not None:
            moved = replace(record, key=wanted.key, content_key=wanted.content_key, parent=chain, stack=stack)
            moved = replace(moved, result=snapshot.chain_id)
            return Hit(moved, "observation", (observations.read, observations.files))
    return broken


def own_parts(key: CacheKey) -> tuple[object, ...]:
    """All of a key but what the step stands on."""
    return key.schema, key.kind, tuple(part for part in key.parts if part.name != PARENT)


def _first_broken(
    world: World, record: CacheRecord, observations: Observations, below: Sequence[Below], tools: Tools
) -> Look | None:
    seen = iter(observations.seen)
    for then, (layer, directory) in zip(record.stack, _directories(world, below), strict=True):
        if layer.copied is None:
            continue
        one = next(seen)
        if then[0] == layer.diff_id:
            continue
        answers = tools.layers.answers(directory, one.looks, copied_contents(layer.copied, world) or {})
        look = first_broken(one, answers)
        if look is not None:
            return look
    return None


def _directories(world: World, below: Sequence[Below]) -> Iterator[tuple[Below, Path]]:
    """Every layer with its directory, lowest first; copied ones are there, others need not be."""
    chain: ChainID | None = None
    for layer in below:
        chain = chain_id(chain, layer.diff_id)
        snapshot = world.snapshots.get(chain) if layer.copied is not None else None
        if snapshot is None and layer.copied is not None:
            raise BuildFailure("store-snapshot-missing", f"the store has no layer for {chain}")
        yield layer, snapshot.layer if snapshot is not None else Path()


class Observing:
    """A step under observation: `work` is its workspace with the copied layers' views in place of the layers."""

    def __init__(self, world: World, below: Sequence[Below], work: Workspace, watched: Watched) -> None:
        self._world = world
        self._copied = _copied(world, below)
        shown = {directory: view for (_, directory), view in zip(self._copied, watched.layers, strict=True)}
        self.work = replace(work, layers=tuple(shown.get(layer, layer) for layer in work.layers))
        self._watched = watched

    def seen(self, tools: Tools) -> Seen:
        """All that was looked at, with the answers. Raises BuildFailure `runtime-observer-lost`."""
        layers = []
        for (layer, directory), found in zip(self._copied, self._watched.looks(), strict=True):
            assert layer.copied is not None
            contents = copied_contents(layer.copied, self._world) or {}
            looks = tuple(sorted(found))
            files = sum(record.kind == "file" for record in _records(layer.copied, self._world))
            if files > _MANY and sum(look.kind == "read" for look in looks) * 2 > files:
                return Seen(None)
            layers.append(SeenLayer(looks, tools.layers.answers(directory, looks, contents), files))
        return Seen(Observations(tuple(layers)))

    def check(self) -> None:
        """Raises BuildFailure `runtime-observer-lost` if what the step saw may not have been there."""
        self._watched.looks()


@contextmanager
def observed(world: World, below: Sequence[Below], work: Workspace) -> Iterator[Observing]:
    """Have a step's copied layers watched for the length of a block. Raises BuildFailure `runtime-no-observer`."""
    directories = [directory for _, directory in _copied(world, below)]
    with world.observer.watch(directories, work.scratch) as watched:
        yield Observing(world, below, work, watched)


def _copied(world: World, below: Sequence[Below]) -> list[tuple[Below, Path]]:
    return [(layer, directory) for layer, directory in _directories(world, below) if layer.copied is not None]


def _records(record: CacheRecord, world: World) -> Iterator[FileRecord]:
    for part in record.key.parts:
        yield from (world.facts.get(part.files) if part.files else None) or ()
