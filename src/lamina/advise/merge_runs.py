"""Putting neighbouring RUNs into one, where that ships fewer bytes, or keeps a package index from growing old.

It saves no seconds, and costs none as long as they always run together anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from lamina.advise.cost import Basis, Cost, commands_of
from lamina.advise.phrases import listed, short
from lamina.advise.recorded import unseen
from lamina.advise.replay import Replay
from lamina.advise.scene import Move, Scene
from lamina.advise.sheet import Block
from lamina.advise.split import LASTING, list_parts
from lamina.dockerfile import syntax
from lamina.dockerfile.shellcommands import ShellCommand
from lamina.plan.steps import CacheMount, RunOp, Step, TmpfsMount

#: Bytes that are not worth a coarser cache.
_LEAST = 1_000_000
_INDEX = {"apt-get": "/var/lib/apt/lists", "apt": "/var/lib/apt/lists", "apk": "/var/cache/apk"}
_RISK = "a change to one of the commands of `{}` runs all of them again"


class _Run(Struct, frozen=True):
    """A RUN that is a plain list of commands in the shell."""

    at: int
    step: Step
    op: RunOp
    commands: tuple[ShellCommand, ...]


def merge_runs(scene: Scene, replay: Replay) -> Iterator[Move]:
    """The unions of neighbours that spare something, what spares most bytes first."""
    steps = scene.steps()
    ran = {track.step.span: track.ran.keys() for track in replay.tracks}
    found: list[Move] = []
    for stage in scene.plan.stages:
        row: list[_Run] = []
        for at in (*scene.sheet.stage(stage.index), -1):
            run = _run(scene, at, steps[at]) if at in steps else None
            if row and (run is None or not _fit(scene, row[-1], run) or ran[run.step.span] != ran[row[-1].step.span]):
                found += _merged(scene, row)
                row = []
            row += [run] if run is not None else []
    yield from sorted(found, key=lambda move: -move.spared)


def _run(scene: Scene, at: int, step: Step) -> _Run | None:
    one, op = scene.sheet.blocks[at].instruction, step.op
    if not isinstance(one, syntax.Run) or not isinstance(op, RunOp) or one.heredocs or one.command.argv is not None:
        return None
    return _Run(at, step, op, commands_of(op)) if list_parts(one.command.text) is not None else None


def _fit(scene: Scene, above: _Run, below: _Run) -> bool:
    """Whether the second would do the same in the first one's shell, with its mounts, as what it is."""
    same = replace(above.op, argv=()) == replace(below.op, argv=()) and above.op.argv[:-1] == below.op.argv[:-1]
    lasting = any(not command.words or command.words[0] in LASTING for command in above.commands)
    flags = [scene.sheet.blocks[run.at].instruction for run in (above, below)]
    return same and not lasting and len({_flags(one) for one in flags}) == 1


def _flags(instruction: syntax.Instruction | None) -> tuple[tuple[str, str | None], ...]:
    return tuple((flag.name, flag.value) for flag in instruction.flags) if instruction is not None else ()


def _merged(scene: Scene, row: Sequence[_Run]) -> Iterator[Move]:
    for first in range(len(row)):
        for last in range(first + 1, len(row)):
            move = _union(scene, row[first : last + 1])
            if move is not None:
                yield move


def _union(scene: Scene, runs: Sequence[_Run]) -> Move | None:
    first, last = runs[0], runs[-1]
    # Only the ends count: what lies between two others is told by a shorter union.
    recorded = scene.layers(last.step.text)
    spared, paths = unseen(recorded, [first.step.text], [last.step.text]) if recorded is not None else (0, ())
    why = _known(first, last) if len(runs) == 2 else ""
    if spared < _LEAST and not why:
        return None
    names = [f"`{short(run.step.text)}`" for run in runs]
    told = [why] if why else []
    if spared >= _LEAST:
        shown = ", ".join(paths[:2])
        more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
        told.append(f"as they were built last, {names[-1]} hides {shown}{more} of the layer of {names[0]}")
    elif recorded is None:
        told.append(f"how many bytes that is, is not known: there is no layer of {names[-1]}")
    blocks = list(scene.sheet.blocks)
    united = blocks[first.at]
    for run in runs[1:]:
        united = _behind(scene, united, blocks[run.at])
    blocks[first.at : last.at + 1] = [united]
    sheet = scene.sheet.with_blocks(blocks)
    text = sheet.blocks[first.at].instruction
    assert text is not None
    costs = [scene.book.of(run.step) for run in runs]
    bases = {cost.basis for cost in costs}
    basis: Basis = "guess" if "guess" in bases else "given" if "given" in bases else "recorded"
    return Move(
        sheet,
        f"Put {listed(names)} into one RUN",
        tuple(told),
        (_RISK.format(short(first.step.text)),),
        {text.original: Cost(sum(cost.seconds for cost in costs), basis)},
        spared,
    )


def _known(first: _Run, last: _Run) -> str:
    """What is known of package managers, without a build: the first fetches the index, and the last uses or deletes
    it."""
    for program, index in _INDEX.items():
        if any(
            isinstance(m, CacheMount | TmpfsMount) and f"{index}/".startswith(f"{m.target}/") for m in first.op.mounts
        ):
            continue
        one, other = ({_action(command, program) for command in run.commands} for run in (first, last))
        if "update" in one and "install" in other and not other & {"update", "fresh"}:
            return (
                f"`{program} update` by itself stays cached when the packages of `{short(last.step.text)}` change, "
                "which are then looked for in an index as old as that layer"
            )
        deleted = any(command.program == "rm" and _names(command, index) for command in last.commands)
        if "update" in one and "update" not in other and deleted:
            return f"`{short(last.step.text)}` deletes {index}, which the layer of `{short(first.step.text)}` ships"
    return ""


def _action(command: ShellCommand, program: str) -> str:
    """`update` or `install`; `fresh` for an install that fetches an index of its own."""
    if command.program != program:
        return ""
    action = next((word for word in command.words[1:] if not word.startswith("-")), "")
    fresh = action == "add" and {"--no-cache", "-U", "--update-cache"} & set(command.words)
    return "fresh" if fresh else {"add": "install"}.get(action, action)


def _names(command: ShellCommand, index: str) -> bool:
    return any(re.sub(r"/?\*?\Z", "", word) == index for word in command.words[1:])


def _behind(scene: Scene, block: Block, more: Block) -> Block:
    """Two RUNs' lines as one's; the comments of the second stand above its commands."""
    newline, escape = scene.sheet.newline, scene.sheet.parsed.escape
    assert more.instruction is not None
    flags = "".join(rf"\s+--{re.escape(flag.name)}(?:=\S*)?" for flag in more.instruction.flags)
    # A RUN's flags may stand on lines of their own.
    continued = rf"(?:\s|{re.escape(escape)}\r?\n)+"
    begin = re.compile(r"\s*RUN" + flags.replace(r"\s+", continued) + continued, re.IGNORECASE)
    rest = begin.sub("", "".join(more.body), count=1).splitlines(keepends=True)
    comments = [line for line in more.lead if line.strip()]
    end = block.body[-1].rstrip()
    body = (*block.body[:-1], f"{end} {escape}{newline}", *comments, f"    && {rest[0]}", *rest[1:])
    return Block(block.lead, body)
