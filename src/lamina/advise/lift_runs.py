"""Moving a RUN, with the COPY lines right above it, above other RUNs that have nothing to do with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from lamina.advise.cost import commands_of
from lamina.advise.independence import SYSTEM, families
from lamina.advise.landing import landing, overlap
from lamina.advise.scene import Move, Scene
from lamina.advise.wants import Copied, wants
from lamina.dockerfile import syntax
from lamina.plan.named import Unclear
from lamina.plan.steps import CopyOp, RunOp, Step


class _Group(Struct, frozen=True):
    """A RUN that is understood at `last`, with its COPY lines from `first` on, where their files land, and whose tools
    it is of."""

    first: int
    last: int
    op: RunOp
    landed: Mapping[str, str]
    families: frozenset[str]
    text: str


def lift_runs(scene: Scene) -> Iterator[Move]:
    """For each RUN every place above that other RUNs which are understood leave free."""
    steps = scene.steps()
    for stage in scene.plan.stages:
        places = scene.sheet.stage(stage.index)
        groups: list[_Group] = []
        for at in places:
            step = steps.get(at)
            if step is None or not isinstance(step.op, RunOp):
                if step is None or not isinstance(step.op, CopyOp):
                    groups.clear()
                continue
            found = _group(scene, steps, places, at, step, step.op)
            if found is None:
                groups.clear()
                continue
            for above in reversed(groups):
                if above.last + 1 < found.first and any(
                    not isinstance(one.op, CopyOp) for one in map(steps.get, range(above.last + 1, found.first)) if one
                ):
                    break
                if not _may_cross(scene, steps, places, found, above):
                    break
                yield _moved(scene, found, above)
            groups.append(found)


def _group(scene: Scene, steps: Mapping[int, Step], places: range, at: int, step: Step, op: RunOp) -> _Group | None:
    """None for a RUN that may do anything."""
    landed: dict[str, str] = {}
    first = at
    while first - 1 >= places.start:
        above = steps.get(first - 1)
        copied = landing(above.op, scene.tree) if above is not None and isinstance(above.op, CopyOp) else None
        if copied is None or not isinstance(scene.sheet.blocks[first - 1].instruction, syntax.Copy):
            break
        landed.update(copied)
        first -= 1
    try:
        wants(op, Copied(landed, _copied(scene, steps, places, at), scene.read))
    except Unclear:
        return None
    return _Group(first, at, op, landed, families(commands_of(op)), step.text)


def _copied(scene: Scene, steps: Mapping[int, Step], places: range, at: int) -> dict[str, str]:
    """Where all files land that are copied above a place."""
    found: dict[str, str] = {}
    for place in range(places.start, at):
        step = steps.get(place)
        if step is not None and isinstance(step.op, CopyOp):
            found.update(landing(step.op, scene.tree) or {})
    return found


def _may_cross(scene: Scene, steps: Mapping[int, Step], places: range, found: _Group, above: _Group) -> bool:
    """Whether a group may go above another: neither reads what the other copies, and their tools are not related."""
    if found.families & above.families or SYSTEM in above.families:
        return False
    crossed: dict[str, str] = {}
    for place in range(above.first, found.first):
        step = steps.get(place)
        if step is not None and isinstance(step.op, CopyOp):
            copied = landing(step.op, scene.tree)
            if copied is None:
                return False
            crossed.update(copied)
    if overlap(crossed, found.landed):
        return False
    everything = _copied(scene, steps, places, found.last)
    try:
        mine = wants(found.op, Copied(crossed, everything, scene.read))
        theirs = wants(above.op, Copied(found.landed, everything, scene.read))
    except Unclear:
        return False
    return not (mine.files or mine.folders or theirs.files or theirs.folders)


def _moved(scene: Scene, found: _Group, above: _Group) -> Move:
    blocks = list(scene.sheet.blocks)
    group = blocks[found.first : found.last + 1]
    del blocks[found.first : found.last + 1]
    blocks[above.first : above.first] = group
    what = f"Move `{found.text}` above `{above.text}`"
    why = (f"`{found.text}` and `{above.text}` read none of each other's files, as far as their tools are known",)
    return Move(scene.sheet.with_blocks(blocks), what, why)
