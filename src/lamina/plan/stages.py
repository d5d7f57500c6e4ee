"""Cutting a file into stages and finding what each FROM and `--from` means."""

from __future__ import annotations

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.syntax import Arg, Dockerfile, From, Instruction
from lamina.dockerfile.words import expand
from lamina.oci.platform import Platform, parse_platform
from lamina.oci.reference import parse_reference
from lamina.plan.args import global_args
from lamina.plan.failures import close
from lamina.plan.steps import Base, ContextRef, ImageRef, Origin, PlanOptions, Scratch, StageRef


class RawStage(Struct, frozen=True):
    """A stage as written: its FROM, resolved, and the instructions below it."""

    index: int
    origin: From
    base: Base
    base_text: str
    platform: Platform
    instructions: tuple[Instruction, ...]

    @property
    def label(self) -> str:
        return self.origin.name or f"stage-{self.index}"


class Outline(Struct, frozen=True):
    """All stages of a file, also those that nothing needs; `scope` holds the global arguments, `contexts` the named
    build contexts by their normal name: name and value as given."""

    stages: tuple[RawStage, ...]
    scope: dict[str, str]
    escape: str
    contexts: dict[str, tuple[str, str]] = {}

    def by_name(self, name: str, before: int) -> RawStage | None:
        """The last stage of that name (in any case) above stage number `before`."""
        wanted = name.lower()
        return next((stage for stage in reversed(self.stages[:before]) if stage.origin.name == wanted), None)


def outline(dockerfile: Dockerfile, options: PlanOptions) -> Outline:
    """Cut a file into stages. Raises BuildFailure for a file without FROM, instructions above it, or a bad image name
    of a FROM (a bad one matters even in a stage that nothing needs, as in BuildKit)."""
    groups: list[tuple[From, list[Instruction]]] = []
    above: list[Arg] = []
    for instruction in dockerfile.instructions:
        if isinstance(instruction, From):
            groups.append((instruction, []))
        elif groups:
            groups[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            above.append(instruction)
        else:
            raise BuildFailure(
                "dockerfile-no-from",
                f"{instruction.keyword} stands above the first FROM",
                span=instruction.span,
                hint="only ARG may stand there: begin with FROM, such as `FROM debian:12`",
            )
    if not groups:
        raise no_from(dockerfile)
    contexts = {_normal(name): (name, value) for name, value in options.contexts.items()}
    target = options.target or groups[-1][0].name or ""
    result = Outline((), global_args(tuple(above), options, dockerfile.escape, target), dockerfile.escape, contexts)
    for index, (origin, body) in enumerate(groups):
        stage = _stage(result, index, origin, tuple(body), options)
        result = Outline((*result.stages, stage), result.scope, result.escape, contexts)
    return result


def no_from(dockerfile: Dockerfile) -> BuildFailure:
    """What is wrong with a file that has no stage."""
    return BuildFailure(
        "dockerfile-no-from",
        f"{dockerfile.file} has no FROM, so there is nothing to build",
        hint="begin with FROM, such as `FROM debian:12` or `FROM scratch`",
    )


def target_stage(outlined: Outline, options: PlanOptions) -> RawStage:
    """The stage that `--target` names, by default the last. Raises `dockerfile-unknown-stage`."""
    if not options.target:
        return outlined.stages[-1]
    found = outlined.by_name(options.target, len(outlined.stages))
    if found is None and options.target.isdigit() and int(options.target) < len(outlined.stages):
        found = outlined.stages[int(options.target)]
    if found is None:
        names = [stage.origin.name for stage in outlined.stages if stage.origin.name]
        near = close(options.target.lower(), names)
        hint = f"did you mean {near[0]}?" if near else f"the stages are: {', '.join(names) or 'all without a name'}"
        raise BuildFailure("dockerfile-unknown-stage", f"there is no stage {options.target!r} to build", hint=hint)
    return found


def copy_source(outlined: Outline, text: str, stage: RawStage, span: Span) -> Origin:
    """What `--from=text` means inside a stage: a named context, an earlier stage by name or index, else an image.

    Raises BuildFailure if it has a variable (BuildKit forbids it), names its own stage or a later one.
    """
    if "$" in text:
        raise BuildFailure(
            "dockerfile-variable-in-from",
            f"--from={text} holds a variable, which is not expanded there",
            span=span,
            hint="give the image a stage of its own: `FROM ${IMAGE} AS source`, then `--from=source`",
        )
    named = _named_context(outlined, text, stage.index, stage.platform, span)
    if named is not None:
        return named
    earlier = outlined.by_name(text, stage.index)
    if earlier is not None:
        return StageRef(earlier.index)
    if text.isdigit():
        if int(text) >= stage.index:
            raise BuildFailure(
                "dockerfile-unknown-stage",
                f"--from={text}: stage {text} does not stand above this one",
                span=span,
                hint=f"stages count from 0; this is stage {stage.index}",
            )
        return StageRef(int(text))
    if outlined.by_name(text, len(outlined.stages)) is not None:
        raise BuildFailure(
            "dockerfile-circular-stages",
            f"--from={text} names {'its own stage' if text.lower() == stage.origin.name else 'a later stage'}",
            span=span,
            hint="a stage can copy only from stages above it",
        )
    return _image(text, stage.platform, span)


def _stage(above: Outline, index: int, origin: From, body: tuple[Instruction, ...], options: PlanOptions) -> RawStage:
    platform = options.platform
    flag = origin.flag("platform")
    if flag is not None:
        wanted = expand(flag.value or "", above.scope, escape=above.escape, span=flag.span)
        try:
            platform = parse_platform(wanted, default=options.platform)
        except ValueError as error:
            raise BuildFailure("dockerfile-bad-platform", str(error), span=flag.span) from None
    name = expand(origin.image, above.scope, escape=above.escape, span=origin.span)
    if not name:
        raise BuildFailure(
            "dockerfile-empty-image",
            f"FROM {origin.image} names no image: it expands to nothing",
            span=origin.span,
            hint="give the ARG above FROM a default, or pass --build-arg",
        )
    return RawStage(index, origin, _base(above, name, platform, index, origin.span), name, platform, body)


def _base(above: Outline, name: str, platform: Platform, index: int, span: Span) -> Base:
    named = _named_context(above, name, index, platform, span)
    if named is not None:
        return named
    earlier = above.by_name(name, index)
    if earlier is not None:
        return StageRef(earlier.index)
    if name == "scratch":
        return Scratch()
    return _image(name, platform, span)


def _image(name: str, platform: Platform, span: Span) -> ImageRef:
    try:
        parse_reference(name)
    except ValueError as error:
        raise BuildFailure("dockerfile-bad-image-name", str(error), span=span) from None
    return ImageRef(name, platform)


def _named_context(outlined: Outline, name: str, before: int, platform: Platform, span: Span) -> Origin | None:
    """What `--build-context` says of a name, which goes before stages and images of that name."""
    if not outlined.contexts:
        return None
    found = outlined.contexts.get(_normal(name))
    if found is None:
        return None
    given, value = found
    kind, colon, rest = value.partition(":")
    if kind == "docker-image" and rest.startswith("//"):
        return _image(rest[2:], platform, span)
    if kind == "target" and colon:
        stage = outlined.by_name(rest, before)
        if stage is None:
            raise BuildFailure(
                "dockerfile-unknown-stage",
                f"the build context {name} is the stage {rest!r}, which does not stand above this line",
                span=span,
                hint=f"correct --build-context {given}=target:{rest}: it takes a stage that stands above",
            )
        return StageRef(stage.index)
    return ContextRef(given)


def _normal(name: str) -> str:
    """A context's name as it is compared: image names in full, as `docker.io/library/alpine:latest` for `alpine`."""
    try:
        return str(parse_reference(name.lower()))
    except ValueError:
        return name.lower()
