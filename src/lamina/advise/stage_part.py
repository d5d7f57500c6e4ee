"""A part of a stage that could be a stage of its own, and what it needs of the copies that stand above it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from lamina.advise.copy_lines import copy_lines
from lamina.advise.independence import Apart
from lamina.advise.landing import landing
from lamina.advise.recorded import Written
from lamina.advise.scene import Scene
from lamina.advise.wants import Copied, wants
from lamina.dockerfile import syntax
from lamina.plan.named import Unclear
from lamina.plan.steps import CopyOp, RunOp, Step


class Part(Struct, frozen=True):
    """Blocks `first` to `last`, RUNs and COPY lines, that leave `results`; the blocks from `cut` on to `first` do not
    matter to it. `apart` tells of its tools."""

    cut: int
    first: int
    last: int
    runs: tuple[Step, ...]
    copies: Mapping[int, CopyOp]
    landed: Mapping[str, str]
    results: tuple[Written, ...]
    apart: Apart


def landed_above(scene: Scene, steps: Mapping[int, Step], places: range, until: int) -> dict[str, str]:
    """Where all files land that are copied above a place."""
    found: dict[str, str] = {}
    for at in range(places.start, until):
        op = steps[at].op if at in steps else None
        if isinstance(op, CopyOp):
            found.update(landing(op, scene.tree) or {})
    return found


def needed_of(scene: Scene, steps: Mapping[int, Step], places: range, part: Part) -> dict[int, list[str] | None]:
    """What the part needs of each COPY between: lines that copy that, None for all of it."""
    found: dict[int, list[str] | None] = {}
    everything = landed_above(scene, steps, places, part.last)
    for at in range(part.cut, part.first):
        op, instruction = steps[at].op, scene.sheet.blocks[at].instruction
        if not isinstance(op, CopyOp):
            continue
        landed = landing(op, scene.tree)
        if landed is None or not isinstance(instruction, syntax.Copy):
            found[at] = None
            continue
        files: dict[str, None] = {}
        folders: dict[str, None] = {}
        lines: list[str] | None = None
        try:
            for run in part.runs:
                assert isinstance(run.op, RunOp)
                seen = scene.seen.get((run.text, steps[at].text))
                wanted = wants(run.op, Copied(landed, everything, scene.read), seen)
                files.update(dict.fromkeys(wanted.files))
                folders.update(dict.fromkeys(wanted.folders))
            inner = [path for path in files if not any(path.startswith(f"{folder}/") for folder in folders)]
            lines = copy_lines(instruction, op, landed, inner, list(folders))
        except Unclear:
            lines = [] if _is_of_others(scene, steps, places, part, at, landed) else None
        found[at] = lines
    return found


def _is_of_others(
    scene: Scene, steps: Mapping[int, Step], places: range, part: Part, at: int, landed: Mapping[str, str]
) -> bool:
    """Whether a COPY brings just what an install between is known to read: such as its manifest and lock file."""
    left = set(landed.values())
    for below in range(at + 1, part.first):
        op = steps[below].op
        if isinstance(op, RunOp):
            try:
                wanted = wants(op, Copied(landed, landed_above(scene, steps, places, below), scene.read))
            except Unclear:
                continue
            left -= {
                path
                for path in left
                if path in wanted.files or path.startswith(tuple(f"{one}/" for one in wanted.folders))
            }
    return not left
