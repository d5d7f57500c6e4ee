"""From a Dockerfile to what the rules see: stages, working directories, variables, the commands of each RUN. Pure.

Unlike the planner it never fails and needs no base image: what it cannot know it leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import syntax
from lamina.dockerfile.shellcommands import ShellCommand, shell_commands
from lamina.lint.subject import Context, Stage, Step, Subject
from lamina.lint.variables import Variables, base_variables
from lamina.oci.config import ImageConfig
from lamina.oci.platform import Platform
from lamina.plan.args import global_args
from lamina.plan.installs import installs
from lamina.plan.scope import normal_path
from lamina.plan.scripts import is_shell, script_of
from lamina.plan.steps import PlanOptions


class _Walk(Struct):
    """A stage while it is walked: what holds below the next instruction."""

    variables: Variables
    cwd: str | None
    posix: bool = True


def survey(
    dockerfile: syntax.Dockerfile,
    platform: Platform,
    *,
    build_args: Mapping[str, str] | None = None,
    images: Mapping[str, ImageConfig] | None = None,
    context: Context | None = None,
) -> Subject:
    """Look at a whole file. `platform` is the one that is built for."""
    known = images or {}
    above: list[syntax.Arg] = []
    groups: list[tuple[syntax.From, list[syntax.Instruction]]] = []
    for instruction in dockerfile.instructions:
        if isinstance(instruction, syntax.From):
            groups.append((instruction, []))
        elif groups:
            groups[-1][1].append(instruction)
        elif isinstance(instruction, syntax.Arg):
            above.append(instruction)
    target = (groups[-1][0].name or "") if groups else ""
    given, none = (
        PlanOptions(platform=platform, build_platform=platform, build_args=dict(args))
        for args in (build_args or {}, {})
    )
    outer = _outer(tuple(above), given, dockerfile.escape, target)
    names: dict[str, int] = {}
    ends: list[_Walk] = []
    stages: list[Stage] = []
    for index, (origin, body) in enumerate(groups):
        base = Variables(outer, dockerfile.escape, complete=True).expand(origin.image, origin.span, set())
        parent = names.get(base.lower())
        if parent is None:
            cwd = "/" if base == "scratch" else None
            walk = _Walk(base_variables(base, known, dockerfile.escape), cwd)
        else:
            walk = _Walk(ends[parent].variables.copy(), ends[parent].cwd, ends[parent].posix)
        steps = tuple(_step(walk, one, index, outer, given) for one in body)
        uses = frozenset(_used(parent, steps, index, names))
        stages.append(Stage(index, origin, base, parent, steps, uses))
        ends.append(walk)
        if origin.name:
            names[origin.name] = index
    return Subject(
        dockerfile=dockerfile,
        stages=_shipped(stages),
        above=tuple(above),
        outer=outer,
        defaults=_outer(tuple(above), none, dockerfile.escape, target),
        platform=platform,
        images=known,
        context=context,
    )


def _outer(above: tuple[syntax.Arg, ...], options: PlanOptions, escape: str, target: str) -> dict[str, str]:
    try:
        return global_args(above, options, escape, target)
    except BuildFailure:
        return {}


def _step(walk: _Walk, one: syntax.Instruction, stage: int, outer: Mapping[str, str], options: PlanOptions) -> Step:
    unset: set[str] = set()
    variables, span = walk.variables, one.span
    cwd = walk.cwd
    sources: tuple[str, ...] = ()
    dest = ""
    commands: tuple[ShellCommand, ...] = ()
    match one:
        case syntax.Arg():
            _arg(variables, one, unset, outer, options)
        case syntax.Env():
            pairs = [(variables.expand(pair.name, span, unset), pair.value or "") for pair in one.pairs]
            done = [(name, variables.expand(value, span, unset)) for name, value in pairs]
            variables.values.update(done)
        case syntax.Label():
            for pair in one.pairs:
                variables.expand(pair.name, span, unset)
                variables.expand(pair.value or "", span, unset)
        case syntax.Copy() | syntax.Add():
            sources = tuple(variables.expand(source, span, unset) for source in one.sources)
            dest = variables.expand(one.dest, span, unset)
            for flag in one.flags:
                if flag.name in ("chown", "chmod", "checksum", "exclude"):
                    variables.expand(flag.value or "", span, unset)
            for heredoc in one.heredocs:
                if heredoc.expand:
                    variables.expand(heredoc.body, span, unset, heredoc=True)
        case syntax.Workdir():
            dest = variables.expand(one.path, span, unset)
            walk.cwd = _joined(cwd, dest)
        case syntax.User():
            variables.expand(one.user, span, unset)
        case syntax.Volume():
            for path in one.paths:
                variables.expand(path, span, unset)
        case syntax.Stopsignal():
            variables.expand(one.signal, span, unset)
        case syntax.Shell():
            walk.posix = is_shell(one.argv[0])
        case syntax.Run():
            for flag in one.flags:
                if flag.name == "mount":
                    variables.expand(flag.value or "", span, unset)
            commands = _commands(one, walk.posix)
    told = variables.reported(unset) if unset else ()
    return Step(one, stage, cwd, sources, dest, commands, installs(commands), told)


def _arg(
    variables: Variables, one: syntax.Arg, unset: set[str], outer: Mapping[str, str], options: PlanOptions
) -> None:
    for pair in one.pairs:
        variables.declared.add(pair.name)
        if pair.name in options.build_args:
            variables.values[pair.name] = options.build_args[pair.name]
        elif pair.value is not None:
            variables.values[pair.name] = variables.expand(pair.value, one.span, unset)
        elif pair.name in outer:
            variables.values[pair.name] = outer[pair.name]


def _joined(cwd: str | None, path: str) -> str | None:
    """A WORKDIR below another; None if it depends on the base image or on a variable that only that may have."""
    if "$" in path:
        return None
    if path.startswith("/"):
        return normal_path(path)
    return None if cwd is None else normal_path(f"{cwd}/{path}")


def _commands(one: syntax.Run, posix: bool) -> tuple[ShellCommand, ...]:
    """What a RUN starts; nothing where that cannot be told."""
    argv = one.command.argv
    if argv is not None:
        if len(argv) > 2 and is_shell(argv[0]) and argv[1].endswith("c"):
            return shell_commands(argv[2])
        return (ShellCommand(argv),)
    return shell_commands(script_of(one) or "") if posix else ()


def _shipped(stages: list[Stage]) -> tuple[Stage, ...]:
    """The stages, marked by whether somebody gets their layers."""
    used = {index for stage in stages for index in stage.uses}
    wanted = {stage.index for stage in stages if stage.index not in used or stage.index == len(stages) - 1}
    for stage in reversed(stages):
        if stage.index in wanted and stage.parent is not None:
            wanted.add(stage.parent)
    return tuple(replace(one, shipped=one.index in wanted) for one in stages)


def _used(parent: int | None, steps: tuple[Step, ...], stage: int, names: Mapping[str, int]) -> Iterator[int]:
    """The stages that a stage stands on, copies from or mounts."""
    if parent is not None:
        yield parent
    for step in steps:
        for flag in step.instruction.flags:
            value = flag.value or ""
            if flag.name == "mount":
                value = next((part[5:] for part in value.split(",") if part.startswith("from=")), "")
            elif flag.name != "from":
                continue
            if value.lower() in names:
                yield names[value.lower()]
            elif value.isascii() and value.isdecimal() and len(value) < 6 and int(value) < stage:
                yield int(value)
