"""From syntax to the build graph: one walk, no I/O. What it lacks it asks for.

`make_plan(dockerfile, options, images)` gives a `Plan`, or `Missing` with the images whose facts it needs; the caller
fetches them and asks again. Only the stages that the target reaches are looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Diagnostic, Span
from lamina.dockerfile import parse_trigger, syntax
from lamina.oci.config import History, ImageConfig, RuntimeConfig
from lamina.plan.args import PROXY_NAMES, SOURCE_DATE_EPOCH, source_date_epoch, stage_arg
from lamina.plan.copying import copy_op
from lamina.plan.failures import close, empty_value
from lamina.plan.metadata import METADATA
from lamina.plan.mounts import mounted_from
from lamina.plan.remote import display
from lamina.plan.running import run_op
from lamina.plan.scope import Scope
from lamina.plan.stages import Outline, RawStage, copy_source, outline, target_stage
from lamina.plan.steps import (
    Base,
    ContextRef,
    CopyOp,
    ImageRef,
    MetaOp,
    Missing,
    Op,
    Plan,
    PlanOptions,
    Scratch,
    Stage,
    StageRef,
    Step,
    WorkdirOp,
)


def make_plan(
    dockerfile: syntax.Dockerfile, options: PlanOptions, images: Mapping[ImageRef, ImageConfig]
) -> Plan | Missing:
    """Plan the target of a file, given the configurations of the images that it starts from.

    Raises BuildFailure `dockerfile-…` at the line that is wrong.
    """
    outlined = outline(dockerfile, options)
    target = target_stage(outlined, options)
    walk = _Walk(outlined, options, images)
    try:
        walk.visit(target.index)
    except RecursionError:
        where = target.origin.span
        raise BuildFailure("dockerfile-too-many-stages", "too many stages copy from each other", span=where) from None
    if walk.missing:
        return Missing(tuple(walk.missing.items()))
    stages = tuple(walk.done[index] for index in sorted(walk.done))
    read = [ref for stage in stages for ref in stage.needs if isinstance(ref, ImageRef)]
    warnings = (*dockerfile.warnings, *walk.warnings, *_unused_arguments(outlined, options))
    return Plan(stages, target.index, tuple(dict.fromkeys(read)), warnings, source_date_epoch(options, outlined.scope))


#: A bracket and a quote: no test command of a shell begins so.
_LIKE_JSON = re.compile(r"""\[\s*["'“‘].*\]\Z""", re.DOTALL)


class _Walk:
    """Visits the stages that the target needs, deepest first."""

    def __init__(self, outlined: Outline, options: PlanOptions, images: Mapping[ImageRef, ImageConfig]) -> None:
        self.outlined = outlined
        self.options = options
        self.images = images
        self.done: dict[int, Stage] = {}
        self.missing: dict[ImageRef, Span] = {}
        self.warnings: list[Diagnostic] = []

    def visit(self, index: int) -> None:
        # The lowest first, so that a long chain of FROMs does not go deep.
        chain: list[int] = []
        base: Base = StageRef(index)
        while isinstance(base, StageRef) and base.index not in self.done:
            chain.append(base.index)
            base = self.outlined.stages[base.index].base
        for each in reversed(chain):
            self._visit(each)

    def _visit(self, index: int) -> None:
        if index in self.done:
            return
        raw = self.outlined.stages[index]
        inherited, author = self._inherited(raw)
        if inherited is None:
            return
        scope = Scope(inherited, self.outlined.escape)
        scope.author = author
        steps = self._steps(raw, scope)
        if self.options.labels and index == target_stage(self.outlined, self.options).index:
            scope.labels.update(self.options.labels)
        self.done[index] = Stage(
            index=index,
            label=raw.label,
            named=raw.origin.name is not None,
            base=raw.base if not isinstance(raw.base, ContextRef) else Scratch(),
            base_text=raw.base_text,
            platform=raw.platform,
            steps=steps,
            args=tuple(scope.args.items()),
            config=scope.finished(),
            author=scope.author,
            span=raw.origin.span,
            declared=tuple(scope.declared.items()),
        )

    def _inherited(self, raw: RawStage) -> tuple[RuntimeConfig | None, str]:
        match raw.base:
            case Scratch() | ContextRef():
                return RuntimeConfig(working_dir="/"), ""
            case StageRef(index=index):
                parent = self.done.get(index)
                return (parent.config, parent.author) if parent else (None, "")
            case ImageRef() as image:
                facts = self.images.get(image)
                if facts is None:
                    self.missing[image] = raw.origin.span
                    # The other stages are still visited through COPY --from, so that one round asks for all images.
                    for instruction in raw.instructions:
                        self._visit_source(raw, instruction)
                    return None, ""
                return facts.runtime, facts.author

    def _visit_source(self, raw: RawStage, instruction: syntax.Instruction) -> None:
        for text, span in _sources(instruction):
            source = copy_source(self.outlined, text, raw, span)
            if isinstance(source, StageRef):
                self.visit(source.index)
            elif isinstance(source, ImageRef) and source not in self.images:
                self.missing[source] = span

    def _steps(self, raw: RawStage, scope: Scope) -> tuple[Step, ...]:
        triggers = scope.config.on_build or ()
        scope.change(on_build=None)
        body = [parse_trigger(text, raw.origin.span, self.outlined.escape) for text in triggers]
        steps: list[Step] = [_all_of(raw, raw.base)] if isinstance(raw.base, ContextRef) else []
        for number, instruction in enumerate((*body, *raw.instructions)):
            if number == len(body):
                self._inherit_args(raw, scope)
            self._visit_source(raw, instruction)
            self.warnings += _json_as_shell(instruction)
            op, created_by = self._step(raw, scope, instruction)
            meta = isinstance(op, MetaOp)
            steps.append(
                Step(
                    stage=raw.index,
                    ordinal=len(steps) + 1,
                    position="",
                    keyword=instruction.keyword,
                    text=instruction.original,
                    op=op,
                    history=History(created_by=created_by, comment="lamina", empty_layer=meta) if created_by else None,
                    span=instruction.span,
                )
            )
        if not raw.instructions:
            self._inherit_args(raw, scope)
        return _positioned(steps)

    def _inherit_args(self, raw: RawStage, scope: Scope) -> None:
        """The ARGs of a parent stage are in force, but not for its triggers, which come first."""
        parent = self.done.get(raw.base.index) if isinstance(raw.base, StageRef) else None
        for name, value in parent.args if parent is not None else ():
            scope.set_arg(name, value)
            scope.declared[name] = value

    def _step(self, raw: RawStage, scope: Scope, instruction: syntax.Instruction) -> tuple[Op, str]:
        keyword = instruction.keyword
        match instruction:
            case syntax.Run():
                op = run_op(self.outlined, raw, scope, instruction, self.options)
                prefix = f"|{len(op.args)} {' '.join(f'{n}={v}' for n, v in op.args)} " if op.args else ""
                return op, f"RUN {prefix}{' '.join(op.argv)} # buildkit"
            case syntax.Copy() | syntax.Add():
                copy = copy_op(self.outlined, raw, scope, instruction)
                dest = scope.expand(instruction.dest, instruction.span)
                marks = [f"--{name}={value}" for name, value in (("chown", copy.chown), ("chmod", copy.chmod)) if value]
                words = [keyword, *marks, *map(display, copy.sources), dest]
                return copy, f"{' '.join(words)} # buildkit"
            case syntax.Workdir():
                path = scope.expand(instruction.path, instruction.span)
                if not path:
                    raise empty_value("WORKDIR", instruction.span)
                scope.change(working_dir=scope.absolute(path))
                # The root always exists: BuildKit makes no layer for `WORKDIR /`.
                made = scope.config.working_dir
                return (WorkdirOp(made, scope.config.user) if made != "/" else MetaOp()), f"WORKDIR {made}"
            case syntax.Arg():
                before = dict(scope.variables)
                texts = []
                for pair in instruction.pairs:
                    value = stage_arg(pair, before, self.outlined.scope, self.options, scope.escape)
                    scope.set_arg(pair.name, value)
                    scope.declared[pair.name] = value
                    texts.append(pair.name if value is None else f"{pair.name}={value}")
                return MetaOp(), f"ARG {' '.join(texts)}"
            case syntax.Onbuild():
                METADATA[syntax.Onbuild](scope, instruction)
                return MetaOp(), ""  # BuildKit keeps it in the configuration alone
            case _:
                return MetaOp(), f"{keyword} {METADATA[type(instruction)](scope, instruction)}"


def _all_of(raw: RawStage, base: ContextRef) -> Step:
    """FROM a build context that is a tree of files: all of it on an empty root."""
    return Step(
        stage=raw.index,
        ordinal=1,
        position="",
        keyword="COPY",
        text=f"COPY --from={base.name} / /",
        op=CopyOp(("/",), "/", True, base),
        history=History(created_by=f"COPY --from={base.name} / / # buildkit", comment="lamina"),
        span=raw.origin.span,
    )


def _sources(instruction: syntax.Instruction) -> Iterator[tuple[str, Span]]:
    """What the `--from` of a COPY and the `from=` of a mount name, with their places."""
    flag = instruction.flag("from")
    if flag is not None and flag.value:
        yield flag.value, flag.span
    for flag in instruction.flags:
        if flag.name == "mount":
            text = mounted_from(flag)
            if text:
                yield text, flag.span


def _json_as_shell(instruction: syntax.Instruction) -> Iterator[Diagnostic]:
    """Warn of what was meant as exec form and is none."""
    command = getattr(instruction, "command", None)
    text = command.text.strip() if isinstance(command, syntax.Command) and command.argv is None else ""
    if _LIKE_JSON.match(text):
        yield Diagnostic(
            "dockerfile-json-as-shell",
            f"{text.partition(chr(10))[0]} is not JSON, so the shell gets it as a command",
            span=instruction.span,
            hint="exec form needs double quotes around each string, and commas between them",
            severity="warning",
        )


def _positioned(steps: list[Step]) -> tuple[Step, ...]:
    """Number the steps that do work as BuildKit does: FROM is 1."""
    total = 1 + sum(not isinstance(step.op, MetaOp) for step in steps)
    number = 1
    result = []
    for step in steps:
        if not isinstance(step.op, MetaOp):
            number += 1
            step = replace(step, position=f"{number}/{total}")
        result.append(step)
    return tuple(result)


def _unused_arguments(outlined: Outline, options: PlanOptions) -> tuple[Diagnostic, ...]:
    """Warn of build arguments that no ARG of the file declares: most often a misspelt name."""
    declared = set(outlined.scope) | PROXY_NAMES | {SOURCE_DATE_EPOCH}
    for stage in outlined.stages:
        for instruction in stage.instructions:
            if isinstance(instruction, syntax.Arg):
                declared.update(pair.name for pair in instruction.pairs)
    return tuple(
        Diagnostic(
            "usage-unused-build-arg",
            f"--build-arg {name}: no ARG of the Dockerfile declares it, so it has no effect",
            hint=f"did you mean {near[0]}?" if near else None,
            severity="warning",
        )
        for name in options.build_args
        if name not in declared and not name.startswith("BUILDKIT_")
        for near in (close(name, declared),)
    )
