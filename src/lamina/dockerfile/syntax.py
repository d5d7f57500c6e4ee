"""The syntax of a Dockerfile as values: what was written, with its place, before any variable is expanded.

Rule: the Dockerfile reference of BuildKit's built-in front end. Strings are as written, quotes and escapes included, in
every field that the plan expands later; `words.py` does the expanding.
"""

from __future__ import annotations

from msgspec import Struct, field

from lamina.diagnostics import Diagnostic, Span


class Flag(Struct, frozen=True):
    """`--name=value` behind a keyword; `value` is None for a bare `--name`."""

    name: str
    value: str | None
    span: Span


class Heredoc(Struct, frozen=True):
    """`<<NAME` and its body. `expand` is False for a quoted name; `fd` is the number before `<<` (0 when none)."""

    name: str
    body: str
    expand: bool
    strip_tabs: bool
    fd: int
    span: Span


class Command(Struct, frozen=True):
    """What RUN, CMD, ENTRYPOINT or a HEALTHCHECK starts: `argv` in exec form, `text` in shell form (argv is None)."""

    argv: tuple[str, ...] | None
    text: str


class Pair(Struct, frozen=True):
    """`name=value` of ENV, LABEL or ARG; `value` is None for an ARG without a default."""

    name: str
    value: str | None
    span: Span


class Instruction(Struct, frozen=True, kw_only=True, tag_field="keyword"):
    """What all instructions have.

    `original` is the instruction's text on one line: keyword and arguments as written, continuations joined. `comment`
    holds the comment lines directly above it, without `#`. `checks_skipped` are the rules of a `# check=skip=` there.
    """

    span: Span
    original: str
    flags: tuple[Flag, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    comment: tuple[str, ...] = ()
    checks_skipped: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        return type(self).__name__.upper()

    def flag(self, name: str) -> Flag | None:
        """The (last) flag of that name."""
        return next((flag for flag in reversed(self.flags) if flag.name == name), None)


class From(Instruction, frozen=True, kw_only=True, tag="FROM"):
    """`FROM image [AS name]`. `name` in lower case, None when the stage has none."""

    image: str
    name: str | None = None


class Run(Instruction, frozen=True, kw_only=True, tag="RUN"):
    command: Command


class Copy(Instruction, frozen=True, kw_only=True, tag="COPY"):
    """Sources in order, then the destination. Heredoc sources stand in `heredocs` and not in `sources`."""

    sources: tuple[str, ...]
    dest: str


class Add(Instruction, frozen=True, kw_only=True, tag="ADD"):
    sources: tuple[str, ...]
    dest: str


class Workdir(Instruction, frozen=True, kw_only=True, tag="WORKDIR"):
    path: str


class Env(Instruction, frozen=True, kw_only=True, tag="ENV"):
    pairs: tuple[Pair, ...]
    legacy: bool = False


class Arg(Instruction, frozen=True, kw_only=True, tag="ARG"):
    pairs: tuple[Pair, ...]


class Label(Instruction, frozen=True, kw_only=True, tag="LABEL"):
    pairs: tuple[Pair, ...]
    legacy: bool = False


class Expose(Instruction, frozen=True, kw_only=True, tag="EXPOSE"):
    ports: tuple[str, ...]


class Cmd(Instruction, frozen=True, kw_only=True, tag="CMD"):
    command: Command


class Entrypoint(Instruction, frozen=True, kw_only=True, tag="ENTRYPOINT"):
    command: Command


class User(Instruction, frozen=True, kw_only=True, tag="USER"):
    user: str


class Volume(Instruction, frozen=True, kw_only=True, tag="VOLUME"):
    paths: tuple[str, ...]


class Stopsignal(Instruction, frozen=True, kw_only=True, tag="STOPSIGNAL"):
    signal: str


class Shell(Instruction, frozen=True, kw_only=True, tag="SHELL"):
    argv: tuple[str, ...]


class Healthcheck(Instruction, frozen=True, kw_only=True, tag="HEALTHCHECK"):
    """`command` is None for `HEALTHCHECK NONE`. The intervals are flags."""

    command: Command | None


class Onbuild(Instruction, frozen=True, kw_only=True, tag="ONBUILD"):
    """`trigger` is the text behind ONBUILD, as stored in the image's configuration."""

    trigger: str


class Maintainer(Instruction, frozen=True, kw_only=True, tag="MAINTAINER"):
    name: str


class Directive(Struct, frozen=True):
    """A parser directive: `# name=value` in the leading run of comments. `name` in lower case."""

    name: str
    value: str
    span: Span


class Dockerfile(Struct, frozen=True):
    """A whole file: its instructions in order. `warnings` are lint found by the lexer alone."""

    file: str
    lines: tuple[str, ...]
    escape: str
    directives: tuple[Directive, ...]
    instructions: tuple[Instruction, ...]
    warnings: tuple[Diagnostic, ...] = field(default_factory=tuple)
