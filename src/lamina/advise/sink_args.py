"""Moving an ARG, with the ENV and LABEL lines that use it, down to just above its first use."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.advise.scene import Move, Scene
from lamina.advise.wants import Copied, wants
from lamina.dockerfile import syntax
from lamina.plan.named import Unclear
from lamina.plan.steps import RunOp

#: Variables that tools and shells go by without being named.
_HEEDED = re.compile(
    r"(PATH|HOME|LANG|LC_.*|TZ|LD_.*|DEBIAN_.*|PIP.*|UV_.*|POETRY_.*|PYTHON.*|NPM_.*|NODE_.*|YARN_.*|GO.*|CGO_.*|"
    r"CARGO_.*|RUST.*|BUNDLE_.*|GEM_.*|RUBY.*|MAVEN_.*|JAVA_.*|GRADLE_.*|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|"
    r"(https?|ftp|no|all)_proxy)\Z",
    re.IGNORECASE,
)


def sink_args(scene: Scene) -> Iterator[Move]:
    """For each ARG that changes from build to build. Others never cost anything where they stand."""
    steps = scene.steps()
    for stage in scene.plan.stages:
        places = scene.sheet.stage(stage.index)
        for at in places:
            instruction = scene.sheet.blocks[at].instruction
            if not isinstance(instruction, syntax.Arg) or len(instruction.pairs) != 1:
                continue
            if instruction.pairs[0].name not in scene.varying:
                continue
            group, names, last = [at], {instruction.pairs[0].name}, at
            for place in range(at + 1, places.stop):
                below, step = scene.sheet.blocks[place].instruction, steps.get(place)
                if below is None or step is None:
                    break
                if _mentions(below, names):
                    if not isinstance(below, syntax.Env | syntax.Label):
                        break
                    group.append(place)
                    if isinstance(below, syntax.Env):
                        names |= {pair.name for pair in below.pairs}
                    if any(map(_HEEDED.match, names)):
                        break
                elif isinstance(step.op, RunOp) and not _is_known(step.op):
                    break
                else:
                    last = place
            if last > group[0]:
                yield _moved(scene, [one for one in group if one < last], last, instruction.pairs[0].name)


def _is_known(op: RunOp) -> bool:
    """Whether all that a RUN starts is known, so that it heeds no variable that it does not name."""
    try:
        wants(op, Copied({}, {}, lambda path: None))
    except Unclear as unclear:
        return "among the files" in str(unclear)
    return True


def _moved(scene: Scene, group: list[int], last: int, name: str) -> Move:
    blocks = [block for at, block in enumerate(scene.sheet.blocks) if at not in group]
    place = last + 1 - len(group)
    blocks[place:place] = [scene.sheet.blocks[at] for at in group]
    below = scene.sheet.blocks[last].instruction
    assert below is not None
    text = " ".join(below.original.split())
    what = f"Move ARG {name} below `{text[:60]}`"
    why = (f"no instruction above its new place names {name}, and what the RUNs there start is known not to heed it",)
    return Move(scene.sheet.with_blocks(blocks), what, why)


def _mentions(instruction: syntax.Instruction, names: set[str]) -> bool:
    bodies = "".join(heredoc.body for heredoc in instruction.heredocs)
    text = instruction.original + bodies
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)
