"""EarlyArg: an ARG is declared further up than it is used, and every RUN between runs again when its value changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.dockerfile.syntax import Arg, Run
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Stage, Step, Subject
from lamina.plan.args import PROXY_NAMES

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


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if any(isinstance(step.instruction, Arg) for step in stage.steps):
            yield from _early(stage)


def _early(stage: Stage) -> Iterator[Found]:
    used: dict[str, list[int]] = {}
    for at, step in enumerate(stage.steps):
        for name in _mentioned(step):
            used.setdefault(name, []).append(at)
    runs = [at for at, step in enumerate(stage.steps) if isinstance(step.instruction, Run)]
    for at, step in enumerate(stage.steps):
        one = step.instruction
        if not isinstance(one, Arg):
            continue
        for pair in one.pairs:
            later = [use for use in used.get(pair.name, ()) if use > at]
            if not later or pair.name in PROXY_NAMES or _implicit(pair.name):
                continue
            between = [stage.steps[run] for run in runs if at < run < later[0]]
            if between:
                yield _found(one, pair.name, between, stage.steps[later[0]])


def _found(one: Arg, name: str, between: list[Step], use: Step) -> Found:
    lines = [str(step.line) for step in between]
    told = f"the RUN of line {lines[0]} runs" if len(lines) == 1 else f"the RUNs of lines {', '.join(lines)} run"
    pair = next(pair for pair in one.pairs if pair.name == name)
    return Found(
        one,
        f"{name} is not used before line {use.line}, but {told} again whenever its value changes",
        f"move ARG {name} to just above line {use.line}",
        span=pair.span if len(one.pairs) > 1 else None,
        severity="warning" if _changing(name) else "info",
    )


def _changing(name: str) -> bool:
    return not _CHANGING.isdisjoint(name.upper().split("_"))


def _implicit(name: str) -> bool:
    return (name in _IMPLICIT or name.startswith(_IMPLICIT_BEGINNINGS)) and not _changing(name)


def _mentioned(step: Step) -> set[str]:
    """The names that may be used in a step: all words, for a script can read its environment in many ways."""
    one = step.instruction
    bodies = " ".join(heredoc.body for heredoc in one.heredocs)
    return set(re.findall("[A-Za-z_][A-Za-z0-9_]*", f"{one.original} {bodies}"))


RULE = Rule("EarlyArg", "warning", "an ARG is declared where it is used first", _check)
