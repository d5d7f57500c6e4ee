"""Statements → typed instructions, one function a keyword.

Rule: BuildKit's built-in front end. Variables are not expanded here, so what a value means is not checked either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypedDict

from lamina.diagnostics import Span
from lamina.dockerfile import syntax
from lamina.dockerfile.arguments import JsonArray, command, json_array, pairs, sources_and_dest
from lamina.dockerfile.directives import skipped_by_comments
from lamina.dockerfile.durations import nanoseconds
from lamina.dockerfile.flags import read_flags
from lamina.dockerfile.source import SPACE, shown
from lamina.dockerfile.spelling import meant
from lamina.dockerfile.statement import BLANKS, Part, Statement, cut

_STAGE_NAME = re.compile(r"[a-z][a-z0-9._-]*\Z")
_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_NO_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")
#: The shortest interval that Docker accepts.
_SHORTEST_INTERVAL = 1_000_000


class _Common(TypedDict):
    """The fields that all instructions have."""

    span: Span
    original: str
    flags: tuple[syntax.Flag, ...]
    heredocs: tuple[syntax.Heredoc, ...]
    comment: tuple[str, ...]
    checks_skipped: tuple[str, ...]


def build(statement: Statement) -> syntax.Instruction:
    """Give a statement its type. Raises `BuildFailure`, family `dockerfile`, at the offending words."""
    builder = _BUILDERS.get(statement.keyword)
    if builder is None:
        word = statement.line.text[statement.start : statement.keyword_end]
        statement.fail(
            "dockerfile-unknown-instruction",
            f"{shown(word)} is no instruction" if word else "an instruction is missing here",
            hint=meant(statement.keyword, _BUILDERS),
        )
    span = statement.line.whole()
    comments = statement.line.comments
    common = _Common(
        span=span,
        original=statement.line.text.strip(SPACE),
        flags=read_flags(statement),
        heredocs=statement.heredocs,
        comment=comments,
        checks_skipped=skipped_by_comments(comments, span) if comments else (),
    )
    return builder(statement, common)


def _from(statement: Statement, common: _Common) -> syntax.From:
    words = statement.words()
    if len(words) == 1:
        return syntax.From(image=words[0].text, **common)
    if len(words) != 3 or words[1].text.lower() != "as":
        statement.fail(
            "dockerfile-bad-from",
            "FROM takes an image, or an image, AS and a name",
            words[1] if len(words) > 1 else None,
            hint="write FROM image or FROM image AS name",
        )
    name = words[2].text.lower()
    if not _STAGE_NAME.match(name):
        statement.fail(
            "dockerfile-bad-stage-name",
            f"{shown(words[2].text)} cannot name a stage",
            words[2],
            hint="begin with a letter, go on with letters, digits, dots, dashes and underscores",
        )
    return syntax.From(image=words[0].text, name=name, **common)


def _run(statement: Statement, common: _Common) -> syntax.Run:
    _required(statement, "a command")
    what = command(statement)
    if what.argv == ():
        statement.fail("dockerfile-missing-argument", "RUN [] names no program", statement.args)
    return syntax.Run(command=what, **common)


def _copy(statement: Statement, common: _Common) -> syntax.Copy:
    sources, dest = sources_and_dest(statement)
    return syntax.Copy(sources=sources, dest=dest, **common)


def _add(statement: Statement, common: _Common) -> syntax.Add:
    sources, dest = sources_and_dest(statement)
    return syntax.Add(sources=sources, dest=dest, **common)


def _workdir(statement: Statement, common: _Common) -> syntax.Workdir:
    return syntax.Workdir(path=_required(statement, "a directory"), **common)


def _env(statement: Statement, common: _Common) -> syntax.Env:
    found, legacy = pairs(statement)
    return syntax.Env(pairs=found, legacy=legacy, **common)


def _label(statement: Statement, common: _Common) -> syntax.Label:
    found, legacy = pairs(statement)
    return syntax.Label(pairs=found, legacy=legacy, **common)


def _arg(statement: Statement, common: _Common) -> syntax.Arg:
    _required(statement, "a name")
    found: list[syntax.Pair] = []
    for word in statement.quoted_words():
        name, equals, value = word.text.partition("=")
        if not name:
            statement.fail("dockerfile-bad-pair", "ARG needs a name in front of =", word)
        found.append(syntax.Pair(name, value if equals else None, statement.span(word)))
    if not found:
        statement.fail("dockerfile-missing-argument", "ARG needs a name", statement.args)
    return syntax.Arg(pairs=tuple(found), **common)


def _expose(statement: Statement, common: _Common) -> syntax.Expose:
    _required(statement, "a port")
    return syntax.Expose(ports=tuple(word.text for word in statement.words()), **common)


def _cmd(statement: Statement, common: _Common) -> syntax.Cmd:
    _required(statement, "a command", "write CMD [] to have none")
    return syntax.Cmd(command=command(statement), **common)


def _entrypoint(statement: Statement, common: _Common) -> syntax.Entrypoint:
    _required(statement, "a command", "write ENTRYPOINT [] to have none")
    return syntax.Entrypoint(command=command(statement), **common)


def _user(statement: Statement, common: _Common) -> syntax.User:
    return syntax.User(user=_required(statement, "a user"), **common)


def _volume(statement: Statement, common: _Common) -> syntax.Volume:
    _required(statement, "a directory")
    listed = json_array(statement, statement.args)
    paths = tuple(word.text for word in statement.words()) if listed is None else listed
    if not paths or not all(path.strip(SPACE) for path in paths):
        statement.fail("dockerfile-missing-argument", "VOLUME needs a directory", statement.args)
    return syntax.Volume(paths=tuple(path.strip(SPACE) for path in paths), **common)


def _stopsignal(statement: Statement, common: _Common) -> syntax.Stopsignal:
    return syntax.Stopsignal(signal=_required(statement, "a signal"), **common)


def _shell(statement: Statement, common: _Common) -> syntax.Shell:
    _required(statement, "a program")
    argv: JsonArray = json_array(statement, statement.args)
    if argv is None:
        statement.fail(
            "dockerfile-shell-not-json",
            "SHELL must be a JSON array of strings",
            statement.args,
            hint='write SHELL ["/bin/sh", "-c"], with double quotes',
        )
    if not argv:
        statement.fail("dockerfile-missing-argument", "SHELL [] names no program", statement.args)
    return syntax.Shell(argv=argv, **common)


def _healthcheck(statement: Statement, common: _Common) -> syntax.Healthcheck:
    _required(statement, "NONE or CMD and a command")
    args = statement.args
    kind = re.split(f"[{SPACE}]", args.text, maxsplit=1)[0]
    rest = args.text[len(kind) :].lstrip(SPACE)
    body = Part(rest, args.end - len(rest), args.end)
    if kind.upper() == "NONE":
        if rest:
            statement.fail("dockerfile-bad-healthcheck", "HEALTHCHECK NONE takes no arguments", body)
        return syntax.Healthcheck(command=None, **common)
    if kind.upper() != "CMD":
        statement.fail(
            "dockerfile-bad-healthcheck",
            f"HEALTHCHECK {shown(kind)} does not exist",
            Part(kind, args.start, args.start + len(kind)),
            hint=meant(kind.upper(), ("CMD", "NONE"), "HEALTHCHECK ")
            or "write HEALTHCHECK CMD in front of the command",
        )
    what = command(statement, body)
    if not rest or what.argv == ():
        statement.fail("dockerfile-missing-argument", "HEALTHCHECK CMD needs a command", args)
    for part, flag in zip(statement.flags, common["flags"], strict=True):
        _check_health_flag(statement, part, flag)
    return syntax.Healthcheck(command=what, **common)


def _check_health_flag(statement: Statement, part: Part, flag: syntax.Flag) -> None:
    value = flag.value or ""
    if flag.name == "retries":
        if value and not re.fullmatch(r"\+?[0-9]{1,9}", value):
            statement.fail("dockerfile-bad-flag-value", f"--retries is a number, not {shown(value)}", part)
        return
    try:
        length = nanoseconds(value) if value else 0
    except ValueError as error:
        statement.fail(
            "dockerfile-bad-flag-value", shown(str(error)), part, hint="write a number and a unit, such as 30s"
        )
    if length and length < _SHORTEST_INTERVAL:
        statement.fail("dockerfile-bad-flag-value", f"--{flag.name} cannot be shorter than 1ms", part)


def _onbuild(statement: Statement, common: _Common) -> syntax.Onbuild:
    _required(statement, "an instruction")
    keyword = BLANKS.split(statement.args.text, maxsplit=1)[0].upper()
    if keyword in _NO_TRIGGERS:
        statement.fail("dockerfile-bad-trigger", f"ONBUILD {keyword} is not allowed", statement.args)
    trigger = _ONBUILD.sub("", statement.line.text.strip(SPACE), count=1)
    bodies = (f"\n{heredoc.body}{heredoc.name}" for heredoc in statement.heredocs)
    # A misspelt trigger would otherwise be found by whoever builds on this image.
    build(_inner(statement))
    return syntax.Onbuild(trigger=trigger + "".join(bodies), **common)


def _inner(statement: Statement) -> Statement:
    """The instruction behind ONBUILD, placed in the same line."""
    return cut(statement.line, statement.escape, statement.args.start, statement.heredocs)


def _maintainer(statement: Statement, common: _Common) -> syntax.Maintainer:
    return syntax.Maintainer(name=_required(statement, "a name"), **common)


def _required(statement: Statement, what: str, hint: str | None = None) -> str:
    """The arguments as one text. Raises `dockerfile-missing-argument` when there are none."""
    if not statement.args.text:
        statement.fail("dockerfile-missing-argument", f"{statement.keyword} needs {what}", hint=hint)
    return statement.args.text


_BUILDERS: dict[str, Callable[[Statement, Any], syntax.Instruction]] = {
    "FROM": _from,
    "RUN": _run,
    "COPY": _copy,
    "ADD": _add,
    "WORKDIR": _workdir,
    "ENV": _env,
    "ARG": _arg,
    "LABEL": _label,
    "EXPOSE": _expose,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "USER": _user,
    "VOLUME": _volume,
    "STOPSIGNAL": _stopsignal,
    "SHELL": _shell,
    "HEALTHCHECK": _healthcheck,
    "ONBUILD": _onbuild,
    "MAINTAINER": _maintainer,
}
