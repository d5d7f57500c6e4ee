"""Moving a COPY down, below steps that need nothing of it, or little, which is then copied first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy as shallow

from msgspec import Struct
from msgspec.structs import replace

from lamina.advise.copy_lines import copy_lines
from lamina.advise.cost import Cost, commands_of, shares
from lamina.advise.landing import landing, meets, overlap, share_folders
from lamina.advise.phrases import listed, short
from lamina.advise.scene import Move, Scene
from lamina.advise.sheet import Block
from lamina.advise.split import halves, two_step
from lamina.advise.split_script import script_halves
from lamina.advise.wants import Copied, Seen, Wants, wants
from lamina.dockerfile import syntax
from lamina.plan.named import Unclear
from lamina.plan.steps import CopyOp, RunOp, Step, WorkdirOp

#: What a move puts above the step that needs it.
_COMMENT = "Only what the next step reads, so that no other change runs it again"


class _Copy(Struct, frozen=True):
    """A COPY that may go down: its place in the sheet, and where its files land."""

    at: int
    instruction: syntax.Copy
    op: CopyOp
    landed: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.instruction.original


def sink_copies(scene: Scene) -> Iterator[Move]:
    """For each COPY of the context every place below, as far as the steps between let it go."""
    steps = scene.steps()
    for stage in scene.plan.stages:
        places = scene.sheet.stage(stage.index)
        for at in places:
            instruction, step = scene.sheet.blocks[at].instruction, steps.get(at)
            if isinstance(instruction, syntax.Copy) and step is not None and isinstance(step.op, CopyOp):
                landed = landing(step.op, scene.tree)
                if landed:
                    yield from _Sinking(scene, steps, _Copy(at, instruction, step.op, landed), places).run()


class _Sinking:
    """One COPY on its way down. `before` are the new instructions, by the place that they go in front of."""

    def __init__(self, scene: Scene, steps: Mapping[int, Step], copy: _Copy, places: range) -> None:
        self._scene = scene
        self._steps = steps
        self._copy = copy
        self._places = places
        self._before: dict[int, list[str]] = {}
        self._files: dict[str, None] = {}
        self._folders: dict[str, None] = {}
        self._why: dict[str, None] = {}
        self._risks: dict[str, None] = {}
        self._moved = False

    def run(self) -> Iterator[Move]:
        for at in range(self._copy.at + 1, self._places.stop):
            instruction, step = self._scene.sheet.blocks[at].instruction, self._steps.get(at)
            if instruction is None or step is None:
                return
            if isinstance(step.op, RunOp):
                try:
                    self._check_folders(step.op)
                    found = wants(step.op, self._copied(at), self._seen(step))
                except Unclear:
                    yield from self._parts(at, step, step.op)
                    return
                if found.files or found.folders:
                    yield from self._parts(at, step, step.op)
                if not self._add(at, found, step):
                    return
                yield self._move(at)
            elif not self._passes(instruction, step):
                return
            elif isinstance(step.op, CopyOp):
                yield self._move(at)

    def _check_folders(self, op: RunOp) -> None:
        """A folder that a RUN would make before a COPY with an owner does, would be another's. Raises Unclear."""
        if self._copy.op.chown or self._copy.op.chmod:
            for command in commands_of(op):
                if command.program in ("mkdir", "useradd", "adduser"):
                    raise Unclear(f"{command.program} may make a folder that is copied with an owner or a mode")

    def _seen(self, step: Step) -> Seen | None:
        return self._scene.seen.get((step.text, self._copy.text))

    def _copied(self, at: int) -> Copied:
        others: dict[str, str] = {}
        for place in range(self._places.start, at):
            step = self._steps.get(place)
            if step is not None and isinstance(step.op, CopyOp):
                others.update(landing(step.op, self._scene.tree) or {})
        return Copied(self._copy.landed, others, self._scene.read)

    def _passes(self, instruction: syntax.Instruction, step: Step) -> bool:
        """Whether the COPY may go below what is no RUN."""
        copy = self._copy
        match instruction:
            case syntax.Copy() | syntax.Add():
                assert isinstance(step.op, CopyOp)
                other = landing(step.op, self._scene.tree)
                if other is not None:
                    owned = (step.op.chown, step.op.chmod) != (copy.op.chown, copy.op.chmod)
                    return not overlap(copy.landed, other) and not (owned and share_folders(copy.landed, other))
                return step.op.origin is not None and not meets(step.op.dest, copy.landed)
            case syntax.Workdir():
                if not copy.instruction.dest.startswith("/"):
                    return False
                owned = isinstance(step.op, WorkdirOp) and step.op.user.partition(":")[0] not in ("", "root", "0")
                return not (owned and isinstance(step.op, WorkdirOp) and meets(step.op.path, copy.landed))
            case syntax.Arg() | syntax.Env():
                return "$" not in copy.text
            case syntax.Volume() | syntax.Onbuild():
                return False
        return True

    def _add(self, at: int, found: Wants, step: Step) -> bool:
        """Copy first what a RUN needs; False if that is all, or cannot be written."""
        files = [path for path in found.files if path not in self._files and not _inside(path, self._folders)]
        folders = [path for path in found.folders if path not in self._folders]
        lines = copy_lines(self._copy.instruction, self._copy.op, self._copy.landed, files, folders)
        if lines is None:
            return False
        if lines:
            self._before[at] = lines
        self._files.update(dict.fromkeys(files))
        self._folders.update(dict.fromkeys(folders))
        self._why[f"`{step.text}` {found.why}"] = None
        self._risks.update(dict.fromkeys(found.risks))
        wanted = {*self._files}
        return any(path not in wanted and not _inside(path, self._folders) for path in self._copy.landed.values())

    def _move(self, last: int, instead: Sequence[Block] = (), after: Sequence[Block] = ()) -> Move:
        """The sheet with the COPY below the block at `last`, which `instead` takes the place of, `after` behind it."""
        sheet, copy = self._scene.sheet, self._copy
        blocks: list[Block] = []
        for at, block in enumerate(sheet.blocks):
            if at != copy.at:
                if at in self._before:
                    blocks.append(sheet.made(self._before[at], _COMMENT))
                blocks += instead if at == last and instead else (block,)
            if at == last:
                blocks += [sheet.blocks[copy.at], *after]
        words = [word for lines in self._before.values() for line in lines for word in line.split()[1:-1]]
        names = [word for word in words if not word.startswith("--")]
        below = sheet.blocks[last].instruction
        assert below is not None
        what = f"Move `{copy.text}` below `{short(below.original)}`"
        if names:
            them = "it" if len(names) == 1 else "them"
            what += f", and copy {listed(names)} alone before what needs {them}"
        return Move(sheet.with_blocks(blocks), what, tuple(self._why), tuple(self._risks))

    def _parts(self, at: int, step: Step, op: RunOp) -> Iterator[Move]:
        """A RUN of which the COPY can pass a part: its beginning, or the install without the project."""
        sheet, copied = self._scene.sheet, self._copied(at)
        cost = self._scene.book.of(step)
        block = sheet.blocks[at]
        needed = False
        escape = sheet.parsed.escape
        # The rest of a script has the script's text, by which its seconds are known.
        alike = sum(one.text == step.text for one in self._steps.values())
        scripts = script_halves(block.instruction, op, escape) if alike == 1 else ()
        for first, rest in (*halves(block.instruction, op, escape), *scripts):
            try:
                found = wants(replace(op, argv=(*op.argv[:-1], first.command), script=None), copied)
            except Unclear:
                continue
            free = not (found.files or found.folders)
            # Of those that need some files the longest will do.
            fork = self._fork()
            if not free and (needed or not fork._add(at, found, step)):
                continue
            parts = shares((first.command, rest.command))
            costs = {
                text: Cost(cost.seconds * share, cost.basis if cost.basis == "given" else "guess")
                for text, share in zip((first.text, rest.text), parts, strict=True)
            }
            one = Block(block.lead, tuple(line + sheet.newline for line in first.lines))
            other = Block((), tuple(line + sheet.newline for line in rest.lines))
            move = fork._move(at, (one,), (other,))
            why = (*self._why, f"`{first.text}` {found.why}")
            between = move.what.replace(f"below `{short(step.text)}`", "between the parts", 1)
            yield replace(
                move,
                what=f"Split `{short(step.text)}` behind `{short(first.text)}` and {between[0].lower()}{between[1:]}",
                why=why,
                costs=costs,
            )
            if free:
                break
            needed = True
        alone = two_step(op)
        if alone is None or any(one.op.argv[-1] == alone for one in self._steps.values() if isinstance(one.op, RunOp)):
            return
        try:
            found = wants(replace(op, argv=(*op.argv[:-1], alone)), copied)
        except Unclear:
            return
        fork = self._fork()
        if fork._add(at, found, step):
            flags = block.instruction.flags if block.instruction is not None else ()
            text = f"RUN {''.join(f'--{flag.name}={flag.value} ' for flag in flags)}{alone}"
            costs = {text: cost, step.text: Cost(max(0.5, cost.seconds / 10), "guess")}
            move = fork._move(at, (Block(block.lead, (text + sheet.newline,)),), (Block((), block.body),))
            what = f"Install the dependencies before the project is copied: `{alone}`"
            yield replace(move, what=what, costs=costs)

    def _fork(self) -> _Sinking:
        """One that is where this is, and goes its own way."""
        fork = shallow(self)
        fork._before, fork._files, fork._folders = dict(self._before), dict(self._files), dict(self._folders)
        fork._why, fork._risks = dict(self._why), dict(self._risks)
        return fork


def _inside(path: str, folders: Mapping[str, None]) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)
