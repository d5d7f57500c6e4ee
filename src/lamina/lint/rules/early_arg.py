"""EarlyArg: an ARG is declared further up than it is used, and every RUN between runs again when its value changes.

So is one that only a LABEL or an ENV at the top uses, a commit or a date: all go down together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from msgspec import Struct

from lamina.diagnostics import Span
from lamina.dockerfile.syntax import Arg, Env, Label, Run
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Stage, Step, Subject
from lamina.plan.args import PROXY_NAMES
from lamina.plan.installs import install_of

#: Words of names, between underscores, whose value is another one in each build.
_CHANGING = frozenset(
    [
        "VERSION",
        "COMMIT",
        "SHA",
        "SHA1",
        "REVISION",
        "GIT",
        "REF",
        "BRANCH",
        "TAG",
        "DATE",
        "CREATED",
        "TIMESTAMP",
        "TIME",
        "RELEASE",
        "NUMBER",
        "ID",
        "BUST",
        "CACHEBUST",
        "BUILDID",
        "BUILDNUMBER",
    ]
)
#: Names that programs look for in their environment, so that a RUN may use them without a word.
_IMPLICIT = frozenset(
    [
        "DEBIAN_FRONTEND",
        "TZ",
        "LANG",
        "LANGUAGE",
        "HOME",
        "PATH",
        "CI",
        "TERM",
        "SHELL",
        "RAILS_ENV",
        "RACK_ENV",
        "MIX_ENV",
        "CC",
        "CXX",
        "CFLAGS",
        "CXXFLAGS",
        "LDFLAGS",
        "MAKEFLAGS",
        "JAVA_HOME",
    ]
)
_IMPLICIT_BEGINNINGS = (
    *("LC_", "PIP", "UV_", "POETRY", "PYTHON", "NODE", "NPM", "YARN", "PNPM", "GO", "CGO", "CARGO", "RUST", "BUNDLE"),
    *("GEM", "COMPOSER", "MAVEN", "GRADLE", "DOTNET", "NUGET", "TORCH", "CUDA", "CMAKE", "GIT_SSL", "SSL", "CURL"),
    *("TARGET", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "DOCKER", "BUILDKIT"),
)


#: What begins a default that only stands for a value that each build is given.
_STANDS_FOR = (
    r"(?i)(?:none|null|unset|unknown|unspecified|undefined|dev|devel|development|local|latest|snapshot|head|n/?a|dirty|"
    r"today|now|missing|test|empty|0|0\.0|0\.0\.[01]|master|main)?(?:[-+].*)?\Z"
)
#: What a RUN may start that goes by no variable of such a name.
_HEEDLESS = frozenset(
    [
        *("mkdir", "rm", "ln", "cp", "mv", "chmod", "chown", "touch", "set", "true", ":", "echo", "printf", "cd"),
        *("useradd", "groupadd", "adduser", "addgroup", "usermod", "apt-get", "apt", "apk", "yum", "dnf", "microdnf"),
        *("curl", "wget", "tar", "unzip", "sed", "find", "ldconfig", "update-ca-certificates", "locale-gen", "export"),
        *("corepack", "a2enmod", "docker-php-ext-install", "docker-php-ext-enable", "pecl", "rustup", "gpg", "install"),
    ]
)


class _Way(Struct, frozen=True):
    """Where an ARG's value goes: the steps that `carry` it on, LABELs and (`env`) ENVs, the step that uses it first,
    and the RUNs above that, which do not."""

    carry: tuple[Step, ...]
    env: bool
    use: Step | None
    runs: tuple[Step, ...]


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if any(isinstance(step.instruction, Arg) for step in stage.steps):
            yield from _early(stage, subject.defaults)


def _early(stage: Stage, above: Mapping[str, str]) -> Iterator[Found]:
    mentioned = [_mentioned(step) for step in stage.steps]
    for at, step in enumerate(stage.steps):
        one = step.instruction
        if not isinstance(one, Arg):
            continue
        for pair in one.pairs:
            if pair.name in PROXY_NAMES or _implicit(pair.name):
                continue
            way = _way(stage.steps[at + 1 :], mentioned[at + 1 :], pair.name)
            default = above.get(pair.name, "") if pair.value is None else pair.value
            changing = _changing(pair.name) and re.match(_STANDS_FOR, default) is not None
            if way.use is not None and not way.carry and way.runs:
                yield _found(one, pair.name, way.runs, way.use, changing)
            elif way.carry and changing:
                yield from _carried(one, pair.name, way)


def _way(steps: Sequence[Step], mentioned: Sequence[set[str]], name: str) -> _Way:
    names, carry, runs, env = {name}, list[Step](), list[Step](), False
    for step, words in zip(steps, mentioned, strict=True):
        one = step.instruction
        if not names & words:
            if isinstance(one, Run):
                runs.append(step)
            continue
        more = {pair.name for pair in one.pairs if names & _words(pair.value or "")} if isinstance(one, Env) else set()
        # What is used below RUNs alone stays there; and tools go by some names without a word.
        if not isinstance(one, Env | Label) or (runs and not carry) or any(map(_implicit, more)):
            return _Way(tuple(carry), env, step, tuple(runs))
        # Whoever uses what it sets uses the ARG.
        names |= more
        carry.append(step)
        env = env or isinstance(one, Env)
    return _Way(tuple(carry), env, None, tuple(runs))


def _found(one: Arg, name: str, between: Sequence[Step], use: Step, changing: bool) -> Found:
    return Found(
        one,
        f"{name} is not used before line {use.line}, but {_runs(between)} again whenever its value changes",
        f"move ARG {name} to just above line {use.line}",
        span=_place(one, name),
        severity="warning" if changing else "info",
    )


def _carried(one: Arg, name: str, way: _Way) -> Iterator[Found]:
    """An ARG for a LABEL or an ENV, which go down with it. Where no RUN names it, a program may find it in its
    environment all the same: only what is known not to is told then."""
    named = way.use is not None and isinstance(way.use.instruction, Run) and not way.env
    runs = list(way.runs if named else takewhile(_is_heedless, way.runs))
    if not runs:
        return
    them = [f"the {step.instruction.keyword} of line {step.line}" for step in way.carry]
    if way.use is not None and len(runs) == len(way.runs):
        to = f"to just above line {way.use.line}"
    elif len(runs) == len(way.runs):
        to = "to the end of the stage"
    else:
        next_line = way.runs[len(runs)].line
        to = f"below line {runs[-1].line}, or to the end of the stage if line {next_line} does not read it"
    yield Found(
        one,
        f"{name} is for {' and '.join(them)}, but {_runs(runs)} again whenever its value changes",
        f"move {', '.join([f'ARG {name}', *them[:-1]])} and {them[-1]} {to}",
        span=_place(one, name),
    )


def _is_heedless(step: Step) -> bool:
    """Whether all that a RUN starts is known to go by no variable that it does not name."""
    return bool(step.commands) and all(
        command.program in _HEEDLESS or ((install := install_of(command)) is not None and not install.project)
        for command in step.commands
    )


def _runs(steps: Sequence[Step]) -> str:
    lines = [str(step.line) for step in steps]
    return f"the RUN of line {lines[0]} runs" if len(lines) == 1 else f"the RUNs of lines {', '.join(lines)} run"


def _place(one: Arg, name: str) -> Span | None:
    return next(pair.span for pair in one.pairs if pair.name == name) if len(one.pairs) > 1 else None


def _changing(name: str) -> bool:
    return not _CHANGING.isdisjoint(name.upper().split("_"))


def _implicit(name: str) -> bool:
    return (name in _IMPLICIT or name.startswith(_IMPLICIT_BEGINNINGS)) and not _changing(name)


def _mentioned(step: Step) -> set[str]:
    """The names that may be used in a step: all words, for a script can read its environment in many ways."""
    one = step.instruction
    bodies = " ".join(heredoc.body for heredoc in one.heredocs)
    return _words(f"{one.original} {bodies}")


def _words(text: str) -> set[str]:
    return set(re.findall("[A-Za-z_][A-Za-z0-9_]*", text))


RULE = Rule("EarlyArg", "warning", "an ARG is declared where it is used first", _check)
