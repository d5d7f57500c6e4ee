"""What observation will find: a forecast knows the files of a COPY that has not run, and so how its layer differs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from lamina.digest import DiffID
from lamina.engine.decision import Keyed
from lamina.engine.observing import Below, Broken, own_parts
from lamina.engine.reuse import copied_contents
from lamina.engine.world import World
from lamina.keys.decide import Hit
from lamina.keys.facts import FileChange, compare_trees
from lamina.keys.looks import Altered, Look, Observations, altered
from lamina.keys.record import CacheRecord
from lamina.keys.schema import PARENT

_path = attrgetter("path")


class Copying(Struct, frozen=True):
    """A layer that a COPY would make, in a forecast. `known` are the records of that step."""

    wanted: Keyed
    known: tuple[CacheRecord, ...]


def foreseen(
    world: World, wanted: Keyed, below: Sequence[Below | Copying], candidates: Sequence[CacheRecord]
) -> Hit | Broken | None:
    """What `by_observation` will find once the COPYs below have made their layers, as far as their files tell.

    None if that cannot be known, or if the step was never observed on such a stack.
    """
    broken = None
    for record in candidates:
        if record.looks is None or len(record.stack) != len(below) or own_parts(record.key) != own_parts(wanted.key):
            continue
        observations = world.observations.get(record.looks)
        changes = _altered(world, record, below) if observations is not None else None
        if observations is None or changes is None:
            continue
        look = _foreseen_broken(observations, changes)
        if look is None:
            return Hit(record, "observation", (observations.looked, observations.files))
        broken = broken or Broken(look)
    return broken


def _altered(world: World, record: CacheRecord, below: Sequence[Below | Copying]) -> list[Altered | None] | None:
    """For each copied layer of a record's stack what has changed since; None as a whole if that is not known."""
    changes: list[Altered | None] = []
    for (diff_id, copied), layer in zip(record.stack, below, strict=True):
        if isinstance(layer, Copying):
            found = _between(world, layer, diff_id) if copied else None
            if found is None:
                return None
            changes.append(found)
        elif layer.diff_id != diff_id or copied != (layer.copied is not None):
            return None
        elif copied:
            changes.append(None)
    return changes


def _between(world: World, copying: Copying, diff_id: DiffID) -> Altered | None:
    """How the layer that a COPY would make differs from one that it made: the same copy of other files."""
    new = copying.wanted.key
    for record in copying.known:
        if record.diff_id != diff_id or copied_contents(record, world) is None:
            continue
        pairs = list(zip(record.key.parts, new.parts, strict=False))
        same = len(record.key.parts) == len(new.parts) and all(
            old.name == now.name and (old.value == now.value or now.files is not None or now.name == PARENT)
            for old, now in pairs
        )
        destination = next((part.value for part in new.parts if part.name == "destination"), "")
        changes: list[FileChange] = []
        for old, now in pairs if same else ():
            before = world.facts.get(old.files) if old.files else ()
            after = (copying.wanted.inputs.records.get(now.files) or world.facts.get(now.files)) if now.files else ()
            if before is None or after is None:
                return None
            changes += compare_trees(sorted(before, key=_path), sorted(after, key=_path))
        # What lands elsewhere than below the destination cannot be told from here.
        below = destination.endswith("/") or all(
            one.is_dir for facts in copying.wanted.inputs.sources for one in facts.selections
        )
        return altered(changes, destination.strip("/")) if same and below else None
    return None


def _foreseen_broken(observations: Observations, changes: Sequence[Altered | None]) -> Look | None:
    for seen, change in zip(observations.seen, changes, strict=True):
        look = next((look for look in seen.looks if change.breaks(look)), None) if change is not None else None
        if look is not None:
            return look
    return None
