"""What a Dockerfile offers to whoever builds it: its targets, and what one of them can be given. Pure.

Rule: the subrequests `frontend.targets` and `frontend.outline` of BuildKit's Dockerfile front end. A description is the
comment line directly above an instruction that begins with the name that is described: `# base is for developers` above
`FROM debian AS base`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from lamina.diagnostics import Span
from lamina.dockerfile.syntax import Arg, Dockerfile, From, Instruction, Pair
from lamina.dockerfile.words import names
from lamina.oci.config import ImageConfig
from lamina.plan.offline import plan_offline
from lamina.plan.stages import RawStage, no_from, outline, target_stage
from lamina.plan.steps import (
    CacheMount,
    ImageRef,
    Plan,
    PlanOptions,
    RunOp,
    SecretMount,
    SshMount,
    Stage,
    StageRef,
    Step,
)


class Target(Struct, frozen=True):
    """A stage as written: `name` is empty if it has none; nothing in `base` and `platform` is expanded."""

    name: str
    description: str
    default: bool
    base: str
    platform: str
    span: Span


class Argument(Struct, frozen=True):
    """A build argument. `value` is what it has in this build, None for none; `span` the line that gives its default."""

    name: str
    description: str
    value: str | None
    span: Span


class Lent(Struct, frozen=True):
    """A secret, an agent or a cache mount, by its id. `required`: a step fails without it."""

    id: str
    required: bool
    span: Span


class Parameters(Struct, frozen=True):
    """What the build of one target can be given, each kind by line. `name` is empty if the target has none."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    secrets: tuple[Lent, ...]
    ssh: tuple[Lent, ...]
    caches: tuple[Lent, ...]


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """All stages, in the file's order. Raises BuildFailure `dockerfile-no-from`."""
    stages = [one for one in dockerfile.instructions if isinstance(one, From)]
    if not stages:
        raise no_from(dockerfile)
    return tuple(_target(stage, stage is stages[-1]) for stage in stages)


def parameters(
    dockerfile: Dockerfile, options: PlanOptions, known: Callable[[ImageRef], ImageConfig | None] = lambda _: None
) -> Parameters:
    """What the target of `options` and the stages that it needs can be given. `known` as for `plan_offline`.

    Raises BuildFailure `dockerfile-…` for a file that cannot be planned.
    """
    plan = plan_offline(dockerfile, options, known)
    outlined = outline(dockerfile, options)
    outer = dict(_outer(dockerfile))
    arguments: dict[str, Argument] = {}
    lent: dict[type, dict[str, Lent]] = {SecretMount: {}, SshMount: {}, CacheMount: {}}
    for stage in _needed(plan):
        raw = outlined.stages[stage.index]
        for argument in _arguments(raw, stage, plan, outer, outlined.scope, outlined.escape):
            arguments.setdefault(argument.name, argument)
        for step in stage.steps:
            _add_lent(step, lent)
    origin = target_stage(outlined, options).origin
    return Parameters(
        name=origin.name or "",
        description=described(origin, origin.name or ""),
        arguments=tuple(sorted(arguments.values(), key=_line)),
        secrets=tuple(sorted(lent[SecretMount].values(), key=_line)),
        ssh=tuple(sorted(lent[SshMount].values(), key=_line)),
        caches=tuple(sorted(lent[CacheMount].values(), key=_line)),
    )


def described(instruction: Instruction, name: str) -> str:
    """What the comment above an instruction says of a name; empty if it says nothing."""
    start = f"{name} "
    return next((line.removeprefix(start) for line in instruction.comment if name and line.startswith(start)), "")


def _target(origin: From, default: bool) -> Target:
    name, flag = origin.name or "", origin.flag("platform")
    platform = (flag.value or "") if flag is not None else ""
    return Target(name, described(origin, name), default, origin.image, platform, origin.span)


def _line(one: Argument | Lent) -> tuple[int, int]:
    return one.span.line, one.span.column


def _outer(dockerfile: Dockerfile) -> Iterator[tuple[str, tuple[Pair, Arg]]]:
    """The arguments above the first FROM, with their lines."""
    for instruction in dockerfile.instructions:
        if isinstance(instruction, From):
            return
        if isinstance(instruction, Arg):
            for pair in instruction.pairs:
                yield pair.name, (pair, instruction)


def _needed(plan: Plan) -> list[Stage]:
    """The stages of a plan, each before those that it needs: what they define of one name, the first defines."""
    found: dict[int, Stage] = {}
    waiting = [plan.target]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found[index] = plan.stage(index)
            waiting += [need.index for need in reversed(found[index].needs) if isinstance(need, StageRef)]
    return list(found.values())


def _arguments(
    raw: RawStage,
    stage: Stage,
    plan: Plan,
    outer: Mapping[str, tuple[Pair, Arg]],
    scope: Mapping[str, str],
    escape: str,
) -> Iterator[Argument]:
    """What one stage takes: the ARGs that it declares, and the outer ones that it or its FROM refers to."""
    values = dict(stage.declared)
    used = set(names(raw.origin.image, escape))
    flag = raw.origin.flag("platform")
    used |= names((flag.value or "") if flag is not None else "", escape)
    own: dict[str, Argument] = {}
    lines = [(pair, one) for one in raw.instructions if isinstance(one, Arg) for pair in one.pairs]
    said = {pair.name: text for pair, one in lines if (text := described(one, pair.name))}
    for pair, one in lines:
        if pair.value is None and pair.name in outer:
            used.add(pair.name)
        elif pair.value is not None or pair.name not in scope:  # a bare ARG of a platform argument asks for nothing
            own[pair.name] = Argument(pair.name, said.get(pair.name, ""), values.get(pair.name), one.span)
    yield from own.values()
    inherited = dict(plan.stage(stage.base.index).declared) if isinstance(stage.base, StageRef) else {}
    for name, value in values.items():  # those of ONBUILD triggers stand in no line of this file
        if name not in inherited and name not in scope and name not in outer and name not in own:
            yield Argument(name, "", value, stage.span)
    for name in _with_defaults(used, outer, escape):
        _, line = outer[name]
        yield Argument(name, described(line, name) or said.get(name, ""), scope.get(name), line.span)


def _with_defaults(used: set[str], outer: Mapping[str, tuple[Pair, Arg]], escape: str) -> Iterator[str]:
    """The outer arguments of these names, and those that their defaults refer to."""
    waiting, found = sorted(used), set[str]()
    while waiting:
        name = waiting.pop()
        if name in outer and name not in found:
            found.add(name)
            yield name
            waiting += sorted(names(outer[name][0].value or "", escape))


def _add_lent(step: Step, lent: Mapping[type, dict[str, Lent]]) -> None:
    for mount in step.op.mounts if isinstance(step.op, RunOp) else ():
        if isinstance(mount, SecretMount | SshMount | CacheMount):
            known = lent[type(mount)].get(mount.id)
            required = (not isinstance(mount, CacheMount) and mount.required) or (known is not None and known.required)
            first = min(known.span, step.span, key=lambda span: span.line) if known is not None else step.span
            lent[type(mount)][mount.id] = Lent(mount.id, required, first)
