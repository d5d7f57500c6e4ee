"""The Dockerfile with a part of a stage in a stage of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from lamina.advise.phrases import listed, short
from lamina.advise.scene import Move, Scene
from lamina.advise.sheet import Block
from lamina.advise.stage_part import Part
from lamina.dockerfile import syntax
from lamina.plan.steps import Step

#: What makes a RUN or a COPY what it is, so that it is written in both stages.
SETTINGS = (syntax.Env, syntax.Arg, syntax.Workdir, syntax.User, syntax.Shell)


def with_stage(
    scene: Scene,
    steps: Mapping[int, Step],
    places: range,
    part: Part,
    needed: Mapping[int, list[str] | None],
    below: int,
    crossed: Sequence[int],
) -> Move:
    """The sheet with the part in a stage of its own, its result copied below the block at `below`."""
    sheet, blocks = scene.sheet, scene.sheet.blocks
    origin = places.start - 1
    base = blocks[origin].instruction
    assert isinstance(base, syntax.From)
    names = _names(scene, part)
    shared = [at for at in range(places.start, part.cut) if not isinstance(blocks[at].instruction, SETTINGS)]
    flags = "".join(f"--{flag.name}={flag.value} " for flag in base.flags)
    own = [blocks[at] for at in range(part.first, part.last + 1)]
    settings = [at for at in range(part.cut, part.first) if isinstance(blocks[at].instruction, SETTINGS)]
    between: list[Block] = []
    for at in range(part.cut, part.first):
        if at in settings:
            between.append(_bare(blocks[at]))
        elif at in needed:
            said = needed[at]
            between += (
                [_bare(blocks[at])] if said is None else [Block((), (f"{line}{sheet.newline}",)) for line in said]
            )
    gap = (sheet.newline,)
    result = [f"COPY --from={names[1]} {one.path} {one.path}" for one in part.results]
    moves_on = any(isinstance(blocks[at].instruction, syntax.Workdir) for at in range(part.last + 1, below + 1))
    kept = [_landing_absolutely(scene, at, part) if moves_on else blocks[at] for at in part.copies]
    rest = [
        *blocks[part.cut : part.first],
        *blocks[part.last + 1 : below + 1],
        *kept,
        sheet.made(result, f"What the stage {names[1]} has made"),
        *blocks[below + 1 :],
    ]
    first = Block(
        blocks[origin].lead, (f"FROM {flags}{base.image} AS {names[0] if shared else names[1]}{sheet.newline}",)
    )
    if shared:
        begin = [first, *blocks[places.start : part.cut], _line(gap, f"FROM {names[0]} AS {names[1]}", sheet.newline)]
        last = _line(gap, f"FROM {names[0]}{_as(base)}", sheet.newline)
        after: list[Block] = []
    else:
        before = [blocks[at] for at in range(places.start, part.cut)]
        begin = [first, *(block for block in before if isinstance(block.instruction, SETTINGS))]
        last = Block(gap, blocks[origin].body, blocks[origin].instruction)
        after = [*map(_bare, before)]
    new = sheet.with_blocks([*blocks[:origin], *begin, *between, *own, last, *after, *rest])
    them = listed([f"`{short(run.text)}`" for run in part.runs])
    paths = listed([one.path for one in part.results])
    past = listed([f"`{short(steps[at].text)}`" for at in crossed])
    why = (
        f"as it was built last, {them} wrote {paths}, and no other step touches that",
        *_evidence(scene, steps, part),
    )
    risks = (
        f"{them} and {past} are of tools that are not known to need each other",
        f"what {them} writes at other commits is taken to lie in the same places",
    )
    return Move(new, f"Build {paths} in a stage of its own, `{names[1]}`, beside {past}", why, risks)


def _evidence(scene: Scene, steps: Mapping[int, Step], part: Part) -> Iterator[str]:
    for run in part.runs:
        for at in range(part.cut, part.first):
            seen = scene.seen.get((run.text, steps[at].text))
            if seen is not None:
                yield f"`{run.text}` looked at {seen.looked} of the {seen.files} files that `{steps[at].text}` copies"


def may_leave(block: Block) -> bool:
    """Whether a COPY can be written so that it means the same in another working directory."""
    one = block.instruction
    return isinstance(one, syntax.Copy | syntax.Add) and (one.dest[:1] == "/" or len(block.body) == 1)


def _landing_absolutely(scene: Scene, at: int, part: Part) -> Block:
    """A COPY that means the same in any working directory."""
    block, op = scene.sheet.blocks[at], part.copies[at]
    instruction = block.instruction
    assert isinstance(instruction, syntax.Copy | syntax.Add)
    if instruction.dest.startswith("/"):
        return block
    text = block.body[0].rstrip()
    slash = "/" if op.dest_is_dir and op.dest != "/" else ""
    return Block(block.lead, (f"{text.removesuffix(instruction.dest)}{op.dest}{slash}{scene.sheet.newline}",))


def _bare(block: Block) -> Block:
    return Block((), block.body, block.instruction)


def _line(lead: tuple[str, ...], text: str, newline: str) -> Block:
    return Block(lead, (f"{text}{newline}",))


def _as(base: syntax.From) -> str:
    return f" AS {base.name}" if base.name else ""


def _names(scene: Scene, part: Part) -> tuple[str, str]:
    """Names that no stage has: of what both stages begin with, and of the part."""
    taken = {one.name for block in scene.sheet.blocks if isinstance(one := block.instruction, syntax.From)}
    tool = re.sub(r"[^a-z]", "", min(part.apart.families)) or "part"
    found = []
    for wish in ("common", tool):
        name, number = wish, 2
        while name in taken:
            name, number = f"{wish}{number}", number + 1
        found.append(name)
    return found[0], found[1]
