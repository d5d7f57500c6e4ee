"""What observation will find: a forecast knows the files of a COPY that has not run, and so what its layer will show.

A COPY that is observed keeps what has not changed as it is in the layer that it is compared with, times included
(`Earlier.times`). So the new layer will answer a look as that layer does, unless a change of files concerns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct

from lamina.engine.decision import Keyed
from lamina.engine.job import Below
from lamina.engine.observing import Broken, own_parts
from lamina.engine.reuse import copied_contents
from lamina.engine.world import World
from lamina.keys.decide import Hit
from lamina.keys.facts import FileChange, compare_trees
from lamina.keys.looks import Altered, Look, SeenLayer, altered, first_broken, foremost
from lamina.keys.record import CacheRecord
from lamina.keys.schema import PARENT

_path = attrgetter("path")


class Copying(Struct, frozen=True):
    """A layer that a COPY would make. `earlier` is the record that its miss was compared with."""

    wanted: Keyed
    earlier: CacheRecord | None


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
        if observations is None:
            continue
        found = _first_broken(world, record, observations.seen, below)
        if isinstance(found, Look):
            broken = broken or Broken(found)
        elif found:
            return Hit(record, "observation", (observations.read, observations.files))
    return broken


def _first_broken(
    world: World, record: CacheRecord, seen: Sequence[SeenLayer], below: Sequence[Below | Copying]
) -> Look | bool:
    """The first look that will be answered otherwise; True if all will be as they were, False if nobody can tell."""
    rest = iter(seen)
    for (diff_id, copied), layer in zip(record.stack, below, strict=True):
        one = next(rest) if copied else None
        if isinstance(layer, Below):
            if layer.diff_id != diff_id or copied != (layer.copied is not None):
                return False
            continue
        found = _answered(world, layer, one) if one is not None else False
        if found is not True:
            return found
    return True


def _answered(world: World, copying: Copying, seen: SeenLayer) -> Look | bool:
    earlier = copying.earlier
    changed = _changes(world, copying)
    snapshot = world.snapshots.get(earlier.result) if earlier is not None and earlier.result is not None else None
    if earlier is None or changed is None or snapshot is None:
        return False
    look = foremost(look for look in seen.looks if changed.breaks(look))
    if look is not None:
        return look
    answers = world.answers(snapshot.layer, seen.looks, copied_contents(earlier, world) or {})
    return False if answers is None else first_broken(seen, answers) or True


def _changes(world: World, copying: Copying) -> Altered | None:
    """How the layer that a COPY would make differs from its earlier one; None if more than files may differ."""
    new, earlier = copying.wanted.key.parts, copying.earlier
    if earlier is None or copied_contents(earlier, world) is None or len(earlier.key.parts) != len(new):
        return None
    changes: list[FileChange] = []
    for old, now in zip(earlier.key.parts, new, strict=True):
        if old.files is not None and now.files is not None:
            before = world.facts.get(old.files)
            after = copying.wanted.inputs.records.get(now.files)
            after = world.facts.get(now.files) if after is None else after
            if before is None or after is None:
                return None
            changes += compare_trees(sorted(before, key=_path), sorted(after, key=_path))
        elif old.name != now.name or (old.value != now.value and now.name != PARENT):
            return None
    destination = next((part.value for part in new if part.name == "destination"), "")
    selections = [one for facts in copying.wanted.inputs.sources for one in facts.selections]
    # What lands elsewhere than below the destination cannot be told from here.
    if not destination.endswith("/") and not (selections and all(one.is_dir for one in selections)):
        return None
    return altered(changes, destination.strip("/"))
