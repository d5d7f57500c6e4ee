"""What a rule sees: the Dockerfile's stages and steps, what is known of its base images and its context. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from lamina.dockerfile.ignore import IgnoreRules
from lamina.dockerfile.shellcommands import ShellCommand
from lamina.dockerfile.syntax import Add, Arg, Copy, Dockerfile, From, Instruction, Run
from lamina.keys.filetree import FileRecord
from lamina.oci.config import ImageConfig
from lamina.oci.platform import Platform
from lamina.plan.install_words import Install
from lamina.plan.named import Reader


class Junk(Struct, frozen=True):
    """Well-known junk that an instruction copies: the ignore line that would keep it out, and what that saves."""

    pattern: str
    files: int
    size: int
    example: str
    reason: str


class Taken(Struct, frozen=True):
    """What the instruction on `line` takes from the context. `whole`: a source of it is the context itself."""

    line: int
    entries: tuple[FileRecord, ...]
    whole: bool
    junk: tuple[Junk, ...] = ()


def unread(path: str) -> str | None:
    """The reader of a context that is known by the names of its files alone."""
    return None


class Context(Struct, frozen=True):
    """The build context as the ignore rules leave it; `rules` is None if there is no ignore file. `read` gives the text
    of a file."""

    records: tuple[FileRecord, ...]
    rules: IgnoreRules | None
    taken: tuple[Taken, ...] = ()
    read: Reader = unread

    def on_line(self, line: int) -> Taken | None:
        """What the instruction that begins on a line takes."""
        return next((one for one in self.taken if one.line == line), None)


class Step(Struct, frozen=True):
    """An instruction of a stage. `cwd` is the working directory, None where only the base image knows it; `sources` and
    `dest` those of COPY and ADD (and WORKDIR's), variables expanded as far as they are known. `commands` and `installs`
    are what a RUN starts; `unset` the variables that were put in as nothing, each with the name that may have been
    meant, or empty."""

    instruction: Instruction
    stage: int
    cwd: str | None
    sources: tuple[str, ...] = ()
    dest: str = ""
    commands: tuple[ShellCommand, ...] = ()
    installs: tuple[Install, ...] = ()
    unset: tuple[tuple[str, str], ...] = ()

    @property
    def line(self) -> int:
        return self.instruction.span.line

    @property
    def from_context(self) -> bool:
        """Whether it is a COPY or ADD that has sources in the build context."""
        one = self.instruction
        return isinstance(one, Copy | Add) and bool(self.sources) and one.flag("from") is None


class Stage(Struct, frozen=True):
    """A stage. `base` is its image's name, variables expanded; `parent` the index of the stage that it is instead.

    `uses` are the other stages that it stands on, copies from or mounts. `shipped`: its layers are those of an image
    that somebody may build for its own sake, because it is the last stage or no other stage uses it, or because such a
    stage stands on it.
    """

    index: int
    origin: From
    base: str
    parent: int | None
    steps: tuple[Step, ...]
    uses: frozenset[int] = frozenset()
    shipped: bool = False

    @property
    def label(self) -> str:
        return self.origin.name or f"stage-{self.index}"


class Subject(Struct, frozen=True):
    """A Dockerfile to be checked. `above` are the ARGs above the first FROM, `outer` the arguments that FROM lines see,
    and `defaults` the same as if none were given on the command line. `images` holds what is known of base images, by
    the name that is written."""

    dockerfile: Dockerfile
    stages: tuple[Stage, ...]
    above: tuple[Arg, ...]
    outer: Mapping[str, str]
    defaults: Mapping[str, str]
    platform: Platform
    images: Mapping[str, ImageConfig] = {}
    context: Context | None = None

    def steps(self) -> Iterator[Step]:
        """All steps of all stages."""
        for stage in self.stages:
            yield from stage.steps

    def runs(self, shipped: bool = False) -> Iterator[tuple[Stage, Step]]:
        """The RUNs that are understood, `shipped`: of the stages whose layers somebody gets."""
        for stage in self.stages:
            if stage.shipped or not shipped:
                yield from (
                    (stage, step) for step in stage.steps if isinstance(step.instruction, Run) and step.commands
                )

    def chain(self, stage: Stage) -> tuple[Step, ...]:
        """The steps of a stage with those of the stages that it stands on, from the lowest layer up."""
        below = [stage]
        while below[-1].parent is not None:
            below.append(self.stages[below[-1].parent])
        return tuple(step for one in reversed(below) for step in one.steps)
