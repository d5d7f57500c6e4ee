"""The build graph as values: stages, steps, and what each step does and reads."""

from __future__ import annotations

from msgspec import Struct

from lamina.diagnostics import Diagnostic, Span
from lamina.oci.config import History, RuntimeConfig
from lamina.oci.platform import Platform


class Scratch(Struct, frozen=True, tag="scratch"):
    """`FROM scratch`: an empty root."""


class StageRef(Struct, frozen=True, tag="stage"):
    """Another stage of the same file, by its index in the file."""

    index: int


class ImageRef(Struct, frozen=True, tag="image"):
    """An image by the name that was written, variables expanded."""

    name: str
    platform: Platform


Base = Scratch | StageRef | ImageRef


class RunOp(Struct, frozen=True, tag="run"):
    """RUN: `argv` with the shell in front, `env` in order with the declared ARGs that have a value, `user` as written.

    `args` are the names and values of those ARGs, for the history's `|n` prefix. `network` is default, none or host.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    args: tuple[tuple[str, str], ...]
    user: str
    cwd: str
    network: str = "default"
    security: str = "sandbox"


class CopyOp(Struct, frozen=True, tag="copy"):
    """COPY and ADD. `source` is None for the build context. `dest` is absolute; `dest_is_dir` if it was written with a
    slash (or as a dot) at the end. `chown` is `user[:group]` as expanded, `chmod` the octal number; `unpack` is ADD's.
    """

    sources: tuple[str, ...]
    dest: str
    dest_is_dir: bool
    source: StageRef | ImageRef | None = None
    chown: str = ""
    chmod: int | None = None
    unpack: bool = False


class WorkdirOp(Struct, frozen=True, tag="workdir"):
    """WORKDIR: make this absolute directory, owned by `user`, if it is not there."""

    path: str
    user: str


class MetaOp(Struct, frozen=True, tag="meta"):
    """An instruction that changes the configuration alone and makes no layer."""


Op = RunOp | CopyOp | WorkdirOp | MetaOp


class Step(Struct, frozen=True):
    """One instruction of a stage. `ordinal` counts the stage's instructions from 1 (FROM is 0); `position` is what the
    output shows, `2/4`, counting FROM and the steps that make layers; `config` is the configuration after the step.
    """

    stage: int
    ordinal: int
    position: str
    keyword: str
    text: str
    op: Op
    config: RuntimeConfig
    history: History
    span: Span


class Stage(Struct, frozen=True):
    """A stage that the target needs. `label` is its name, or `stage-N`; `args` the ARGs in force at its
    end, which a stage built from it inherits; `author` is MAINTAINER's."""

    index: int
    label: str
    named: bool
    base: Base
    base_text: str
    platform: Platform
    steps: tuple[Step, ...]
    args: tuple[tuple[str, str], ...]
    config: RuntimeConfig
    author: str
    span: Span

    @property
    def needs(self) -> tuple[StageRef | ImageRef, ...]:
        """The other stages and images that this stage reads, each once, in order."""
        refs: list[StageRef | ImageRef] = [] if isinstance(self.base, Scratch) else [self.base]
        refs += [step.op.source for step in self.steps if isinstance(step.op, CopyOp) and step.op.source is not None]
        return tuple(dict.fromkeys(refs))


class Plan(Struct, frozen=True):
    """Everything that the target needs, in the file's order; the target is the last stage."""

    stages: tuple[Stage, ...]
    target: int
    images: tuple[ImageRef, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def stage(self, index: int) -> Stage:
        return next(stage for stage in self.stages if stage.index == index)


class Missing(Struct, frozen=True):
    """The plan cannot be made yet: facts about these images are needed first, each with the place that names it."""

    images: tuple[tuple[ImageRef, Span], ...]


class PlanOptions(Struct, frozen=True):
    """What the command line adds: build arguments, the target stage's name, platforms."""

    platform: Platform
    build_platform: Platform
    build_args: dict[str, str] = {}
    target: str = ""
    labels: dict[str, str] = {}
