"""A slow part of a stage that has nothing to do with the rest gets a stage of its own, and its result is copied.

What it writes is known from the layers of the last build alone; without them there is no move. The sources that it
was made of are copied in the old place as before, so that the image stays the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lamina.advise.independence import Apart, apart_of, is_free_of, may_differ
from lamina.advise.landing import landing, meets, overlap
from lamina.advise.recorded import written
from lamina.advise.scene import Move, Scene
from lamina.advise.stage_part import Part, landed_above, needed_of
from lamina.advise.stage_sheet import SETTINGS, may_leave, with_stage
from lamina.advise.wants import Copied
from lamina.dockerfile import syntax
from lamina.plan.steps import CopyOp, RunOp, Step

#: Seconds that a part must take, and paths that it may leave, to be worth a stage.
_SECONDS, _PATHS = 2.0, 6
_PLAIN = re.compile(r"/[\w.@+/-]+")
#: What may stand above a stage that others are built on without another meaning.
_INHERITED = (*SETTINGS, syntax.Run, syntax.Copy, syntax.Add, syntax.Label)


def own_stage(scene: Scene) -> Iterator[Move]:
    """For each part of each stage, the places that its result can be copied to."""
    steps = scene.steps()
    if _counts_stages(scene):
        return
    for stage in scene.plan.stages:
        places = scene.sheet.stage(stage.index)
        if len(stage.steps) != sum(at in steps for at in places):
            continue  # triggers of the base image run in a new stage as well
        for at in places:
            if isinstance(steps[at].op, RunOp) and scene.book.seconds(steps[at]) >= _SECONDS:
                for part in _parts(scene, steps, places, at):
                    yield from _moves(scene, steps, places, part)


def _counts_stages(scene: Scene) -> bool:
    """Whether the file, or who builds it, may name a stage by its number, which a new one changes."""
    text = scene.sheet.text
    target = scene.plan.stage(scene.plan.target)
    last = sum(isinstance(block.instruction, syntax.From) for block in scene.sheet.blocks) - 1
    return re.search(r"\bfrom=\s*\d+\b", text) is not None or not (target.named or target.index == last)


def _parts(scene: Scene, steps: Mapping[int, Step], places: range, last: int) -> Iterator[Part]:
    """The parts that end with a RUN: it alone, and with the RUNs of the same tools and the copies right above it."""
    apart, first = apart_of(steps[last].op), last
    begins: list[int] = []
    if apart is None:
        return
    for at in range(last, places.start - 1, -1):
        op = steps[at].op if at in steps else None
        if not (isinstance(op, CopyOp) and _is_copied(scene, op)) and not (
            isinstance(op, RunOp) and (other := apart_of(op)) is not None and other.families & apart.families
        ):
            break
        first = at
        if isinstance(op, RunOp):
            begins.append(at)
    for begin in dict.fromkeys((first, begins[-1] if begins else last, last)):
        part = _part(scene, steps, places, begin, last, apart)
        if part is not None:
            yield part


def _is_copied(scene: Scene, op: CopyOp) -> bool:
    return bool(landing(op, scene.tree)) and not op.chown


def _part(scene: Scene, steps: Mapping[int, Step], places: range, first: int, last: int, apart: Apart) -> Part | None:
    runs = tuple(steps[at] for at in range(first, last + 1) if isinstance(steps[at].op, RunOp))
    recorded = scene.layers(runs[-1].text)
    texts = [step.text for step in steps.values()]
    if recorded is None or any(texts.count(run.text) > 1 for run in runs) or _have_scripts(scene, first, last):
        return None
    later = [steps[at].text for at in range(last + 1, places.stop) if at in steps]
    results = written(recorded, [run.text for run in runs], later)
    if not results or len(results) > _PATHS or not all(_PLAIN.fullmatch(one.path) for one in results):
        return None
    cut = first
    while cut > places.start and _is_passed(scene, steps, cut - 1, apart):
        cut -= 1
    copies = {at: op for at in range(first, last + 1) if isinstance(op := steps[at].op, CopyOp)}
    landed = {path: source for op in copies.values() for path, source in (landing(op, scene.tree) or {}).items()}
    return Part(cut, first, last, runs, copies, landed, results, apart)


def _have_scripts(scene: Scene, first: int, last: int) -> bool:
    """Whether a block has a heredoc: its text, by which layers are found, does not say what was run."""
    found = (scene.sheet.blocks[at].instruction for at in range(first, last + 1))
    return any(one is not None and one.heredocs for one in found)


def _is_passed(scene: Scene, steps: Mapping[int, Step], at: int, apart: Apart) -> bool:
    """Whether a block above a part is nothing to it; a COPY is copied again, as far as the part needs it."""
    step, instruction = steps.get(at), scene.sheet.blocks[at].instruction
    if step is None or instruction is None or not isinstance(instruction, _INHERITED):
        return False
    return not isinstance(step.op, RunOp) or may_differ(apart, step.op)


def _moves(scene: Scene, steps: Mapping[int, Step], places: range, part: Part) -> Iterator[Move]:
    blocks = scene.sheet.blocks
    above = [at for at in range(part.cut, part.first) if isinstance(steps[at].op, RunOp)]
    shared = [at for at in range(places.start, part.cut) if not isinstance(blocks[at].instruction, SETTINGS)]
    origin = blocks[places.start - 1].instruction
    if shared and (
        origin is None or origin.flags or not all(isinstance(blocks[at].instruction, _INHERITED) for at in shared)
    ):
        return
    needed = needed_of(scene, steps, places, part)
    below: list[int] = []
    if above:
        yield with_stage(scene, steps, places, part, needed, part.last, above)
    for at in range(part.last + 1, places.stop):
        step, instruction = steps.get(at), blocks[at].instruction
        if step is None or instruction is None or not _goes_above(scene, steps, places, part, at):
            return
        if isinstance(step.op, RunOp):
            below.append(at)
            yield with_stage(scene, steps, places, part, needed, at, [*above, *below])


def _goes_above(scene: Scene, steps: Mapping[int, Step], places: range, part: Part, at: int) -> bool:
    """Whether the part's result, and the files that it was made of, can be copied below a block instead of above."""
    instruction, step = scene.sheet.blocks[at].instruction, steps[at]
    copies = [scene.sheet.blocks[copy] for copy in part.copies]
    match step.op:
        case RunOp() as op:
            recorded = scene.layers(step.text)
            copied = Copied(part.landed, landed_above(scene, steps, places, at), scene.read)
            return (
                recorded is not None
                and not _have_scripts(scene, at, at)
                and may_differ(part.apart, op)
                and is_free_of(op, copied, part.results, recorded, step.text)
            )
        case CopyOp() as op:
            other = landing(op, scene.tree)
            return other is not None and not op.chown and not op.chmod and not _meets(other, part)
    if isinstance(instruction, syntax.Env | syntax.Arg):
        return not any("$" in "".join(block.body) for block in copies)
    if isinstance(instruction, syntax.Workdir):
        return all(map(may_leave, copies))
    return not isinstance(instruction, syntax.Volume | syntax.Onbuild | syntax.From)


def _meets(other: Mapping[str, str], part: Part) -> bool:
    return overlap(part.landed, other) or any(meets(one.path, other) for one in part.results)
