"""The build graph as values: stages, steps, and what each step does and reads."""

from __future__ import annotations

from typing import Literal

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


class ContextRef(Struct, frozen=True, tag="context"):
    """A named build context that is a tree of files (`--build-context NAME=DIR`, or a fetched git repository)."""

    name: str


Base = Scratch | StageRef | ImageRef | ContextRef

#: Where files come from, other than the build context.
Origin = StageRef | ImageRef | ContextRef


class Inline(Struct, frozen=True, tag="inline"):
    """A heredoc as a file: its name, and its content after tabs were stripped and variables expanded."""

    name: str
    content: str


class HttpSource(Struct, frozen=True, tag="http"):
    """ADD of a file from the web. `checksum` is a digest or empty; `unpack` for an archive that is to be unpacked."""

    url: str
    checksum: str = ""
    unpack: bool = False


class GitSource(Struct, frozen=True, tag="git"):
    """ADD of a git repository, or a directory of it. `ref` is a branch, tag or commit, empty for the default branch;
    `checksum` the commit (or its beginning) that it must be."""

    url: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True


#: One source of a COPY or ADD: a path (or pattern) in the context or origin, or something else.
Source = str | Inline | HttpSource | GitSource


class BindMount(Struct, frozen=True, tag="bind"):
    """`RUN --mount=type=bind`: `source` in `origin` (None: the build context) is seen at `target`. Writes, where they
    are allowed, are thrown away."""

    target: str
    source: str = "/"
    origin: Origin | None = None
    read_only: bool = True


class CacheMount(Struct, frozen=True, tag="cache"):
    """`type=cache`: a folder that outlives builds. `mode`, `uid` and `gid` are those of a fresh one, whose files are
    those of `source` in `origin` if there is one."""

    target: str
    id: str
    sharing: Literal["shared", "private", "locked"] = "shared"
    read_only: bool = False
    origin: Origin | None = None
    source: str = "/"
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class TmpfsMount(Struct, frozen=True, tag="tmpfs"):
    """`type=tmpfs`; `size` in bytes, None for no limit."""

    target: str
    size: int | None = None


class SecretMount(Struct, frozen=True, tag="secret"):
    """`type=secret`: a file at `target` (None: no file), or the variable `env`, or both. Its value is in no key."""

    id: str
    target: str | None
    env: str = ""
    required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


class SshMount(Struct, frozen=True, tag="ssh"):
    """`type=ssh`: the socket of an agent."""

    id: str
    target: str
    required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


StepMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


class RunOp(Struct, frozen=True, tag="run"):
    """RUN: `argv` with the shell in front, `env` in order with the declared ARGs that have a value, `user` as written.

    `args` are all declared ARGs with what their names mean now, for the history's `|n` prefix. `network` is default,
    none or host. `script` is the heredoc that is put into a file to be executed (see `plan.running.SCRIPTS`);
    `hostname` is empty for the usual one.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    args: tuple[tuple[str, str], ...]
    user: str
    cwd: str
    network: str = "default"
    security: str = "sandbox"
    mounts: tuple[StepMount, ...] = ()
    script: Inline | None = None
    hostname: str = ""


class CopyOp(Struct, frozen=True, tag="copy"):
    """COPY and ADD. `origin` is None for the build context. `dest` is absolute; `dest_is_dir` if it was written with a
    slash (or as a dot) at the end. `chown` is `user[:group]` as expanded; `chmod` octal digits (`755`) or symbolic
    (`u+x,go-w`), see `plan.chmod`; `unpack` is whether local archives are unpacked. `link`: the layer stands on
    nothing. `parents`: sources keep their directories. `exclude` are patterns as in ignore files.
    """

    sources: tuple[Source, ...]
    dest: str
    dest_is_dir: bool
    origin: Origin | None = None
    chown: str = ""
    chmod: str = ""
    unpack: bool = False
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()

    @property
    def reads_context(self) -> bool:
        """Whether some source is a path of the build context."""
        return self.origin is None and any(isinstance(source, str) for source in self.sources)


class WorkdirOp(Struct, frozen=True, tag="workdir"):
    """WORKDIR: make this absolute directory, owned by `user`, if it is not there."""

    path: str
    user: str


class MetaOp(Struct, frozen=True, tag="meta"):
    """An instruction that changes the configuration alone and makes no layer."""


Op = RunOp | CopyOp | WorkdirOp | MetaOp


class Step(Struct, frozen=True):
    """One instruction of a stage. `ordinal` counts the stage's instructions from 1 (FROM is 0); `position` is what the
    output shows, `2/4`, counting FROM and the steps that make layers; `history` is None for what leaves no entry
    (ONBUILD).
    """

    stage: int
    ordinal: int
    position: str
    keyword: str
    text: str
    op: Op
    history: History | None
    span: Span


class Stage(Struct, frozen=True):
    """A stage that the target needs. `label` is its name, or `stage-N`; `args` the ARGs in force at its
    end, which a stage built from it inherits; `author` is MAINTAINER's; `declared` are all its ARGs with the value that
    their (last) line gave them, if any."""

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
    declared: tuple[tuple[str, str | None], ...] = ()

    @property
    def needs(self) -> tuple[Origin, ...]:
        """The other stages, images and contexts that this stage reads, each once, in order."""
        refs: list[Origin] = [] if isinstance(self.base, Scratch) else [self.base]
        for step in self.steps:
            refs += origins(step.op)
        return tuple(dict.fromkeys(refs))


def origins(op: Op) -> tuple[Origin, ...]:
    """Where a step reads files from, other than the build context."""
    match op:
        case CopyOp(origin=origin) if origin is not None:
            return (origin,)
        case RunOp(mounts=mounts):
            found = (mount.origin for mount in mounts if isinstance(mount, BindMount | CacheMount))
            return tuple(origin for origin in found if origin is not None)
    return ()


class Plan(Struct, frozen=True):
    """Everything that the target needs, in the file's order; the target is the last stage."""

    stages: tuple[Stage, ...]
    target: int
    images: tuple[ImageRef, ...]
    warnings: tuple[Diagnostic, ...] = ()
    #: SOURCE_DATE_EPOCH, in seconds: the time that the image and its history bear.
    epoch: int | None = None

    def stage(self, index: int) -> Stage:
        return next(stage for stage in self.stages if stage.index == index)


class Missing(Struct, frozen=True):
    """The plan cannot be made yet: facts about these images are needed first, each with the place that names it."""

    images: tuple[tuple[ImageRef, Span], ...]


class PlanOptions(Struct, frozen=True):
    """What the command line adds: build arguments, the target stage's name, platforms, named contexts, entitlements.

    `contexts`: name (lower case) → `docker-image://NAME`, `oci-layout://PATH[:TAG|@DIGEST]`, `target:STAGE`, or `tree`
    for one that is read through a `ContextReader`. `allow` holds `security.insecure` and the like.
    """

    platform: Platform
    build_platform: Platform
    build_args: dict[str, str] = {}
    target: str = ""
    labels: dict[str, str] = {}
    contexts: dict[str, str] = {}
    allow: frozenset[str] = frozenset()
