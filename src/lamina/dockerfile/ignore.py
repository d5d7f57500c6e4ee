"""Ignore files: which paths of a build context stay out of it.

Rule: the semantics of Docker's pattern matcher. Rules count in order and the last one that matches decides; a rule
matches a path when it matches the path itself or a directory above it; `!` brings back. Unlike in gitignore a bare
`name` matches at the root of the context only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import NoReturn

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.globs import BadGlob, unit
from lamina.dockerfile.source import SPACE, Source, shown

_BOM = b"\xef\xbb\xbf"
_ANY_DEPTH = r"(?:[\s\S]*/)?"
_WILD = re.compile(r"[*?\[\]\\]")


class IgnoreRule(Struct, frozen=True):
    """One line of an ignore file. `pattern` as written, with its `!`; `span` marks it."""

    pattern: str
    negated: bool
    span: Span


class _Compiled(Struct, frozen=True):
    """A rule that can match. `parts` are its path components, a wildcard one being None, up to the first `**`."""

    rule: IgnoreRule
    expression: str
    regex: re.Pattern[str]
    parts: tuple[str | None, ...]
    any_depth: bool


class IgnoreRules:
    """The rules of one ignore file. Paths are relative to the context, with `/`, without `.` and `..`."""

    __slots__ = ("_compiled", "_negations", "_runs", "rules")

    def __init__(self, compiled: Iterable[_Compiled]) -> None:
        self._compiled = tuple(compiled)
        self.rules = tuple(each.rule for each in self._compiled)
        self._negations = tuple((at, each) for at, each in enumerate(self._compiled) if each.rule.negated)
        # Neighbours of one sign are one regular expression: most files need a single match for a path.
        runs = groupby(self._compiled, key=lambda each: each.rule.negated)
        self._runs = tuple(
            (not negated, re.compile(_any_of([each.expression for each in run])).fullmatch) for negated, run in runs
        )[::-1]

    def excluded(self, path: str) -> bool:
        """Whether the rules keep `path` out. A directory that is out can still hold files that are in."""
        for excludes, matches in self._runs:
            if matches(path) is not None:
                return excludes
        return False

    def deciding_rule(self, path: str) -> IgnoreRule | None:
        """The last rule that matches `path` or a directory above it; None when no rule does."""
        at = self._deciding(path)
        return None if at is None else self._compiled[at].rule

    def may_hold_included(self, directory: str) -> bool:
        """False only when nothing below `directory` can be in the context, so that a walk may skip it."""
        if not self._negations:
            return not self.excluded(directory)
        at = self._deciding(directory)
        if at is None or self._compiled[at].rule.negated:
            return True
        # What is below matches the deciding rule too, so only a later negation can bring something back.
        above = directory.split("/")
        return any(_reaches_below(negation, above) for place, negation in self._negations if place > at)

    def _deciding(self, path: str) -> int | None:
        for at in range(len(self._compiled) - 1, -1, -1):
            if self._compiled[at].regex.fullmatch(path) is not None:
                return at
        return None


def parse_ignore(text: bytes, file: str) -> IgnoreRules:
    """Read an ignore file. `file` is the name that spans carry. Raises `context-bad-ignore-pattern`."""
    source = Source(text.removeprefix(_BOM).decode("utf-8", "surrogateescape"), file)
    rules: list[_Compiled] = []
    for index in range(len(source)):
        line = source.line(index)
        written = line.strip(SPACE)
        # Only a `#` in the first column is a comment; an indented one begins a pattern.
        if not written or line.startswith("#"):
            continue
        start = line.index(written[0]) + 1
        span = source.span(index + 1, start, index + 1, start + len(written))
        rules.append(_compile(_normal(written), IgnoreRule(written, False, span)))
    return IgnoreRules(rules)


def rules_of(patterns: Iterable[str], span: Span | None = None) -> IgnoreRules:
    """The same rules from single patterns, such as those of a flag at `span`. Raises `context-bad-ignore-pattern`."""
    place = span or Span("", 1, 1, 1, 1)
    return IgnoreRules(_compile(_normal(pattern), IgnoreRule(pattern, False, place)) for pattern in patterns)


def _normal(written: str) -> str:
    """The pattern cleaned like a path, without a leading slash, `!` kept in front."""
    negated = written.startswith("!")
    pattern = written[1:].strip(SPACE) if negated else written
    if pattern:
        pattern = _clean(pattern)
        if len(pattern) > 1:
            pattern = pattern.removeprefix("/")
    # `!/` is `!` and nothing, as for Docker, which cleans what it has put together once more.
    return "!" + pattern.removesuffix("/") if negated else pattern


def _clean(path: str) -> str:
    """Go's `filepath.Clean`: no empty and `.` components, `..` resolved as far as the text allows."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != ".." or (not rooted and (not parts or parts[-1] == "..")):
            parts.append(part)
        elif parts:
            parts.pop()
    return ("/" if rooted else "") + "/".join(parts) or "."


def _compile(normal: str, rule: IgnoreRule) -> _Compiled:
    negated = normal.startswith("!")
    pattern = normal[1:] if negated else normal
    if not pattern:
        _refuse(rule, "there is no pattern behind the !")
    try:
        expression = _expression(pattern)
    except BadGlob as error:
        _refuse(rule, str(error))
    fixed, starstar, _ = pattern.partition("**")
    parts = tuple(None if _WILD.search(part) else part for part in fixed.split("/"))
    if starstar:
        # The component that holds the `**` fixes nothing.
        parts = parts[:-1]
    # A slash inside a bracket is no separator, so components say nothing about such a pattern.
    any_depth = bool(starstar) or "[" in pattern
    compiled_rule = IgnoreRule(rule.pattern, negated, rule.span)
    return _Compiled(
        compiled_rule, expression, re.compile(_any_of([expression])), () if "[" in pattern else parts, any_depth
    )


def _expression(pattern: str) -> str:
    """The pattern as a regular expression for whole paths. Raises `BadGlob`."""
    if pattern.startswith("**") and not _WILD.search(pattern, 2):
        # `**bar` is about how a path ends, not about a whole component; `**/bar` is `bar` at any depth.
        rest = pattern[2:]
        return _ANY_DEPTH + re.escape(rest[1:]) if rest.startswith("/") else rf"[\s\S]*{re.escape(rest)}"
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if not pattern.startswith("**", at):
            part, at = unit(pattern, at)
            parts.append(part)
            continue
        at += 2
        if pattern.startswith("/", at):
            at += 1
        # At the end everything below is meant; elsewhere any number of whole components, none included.
        parts.append(r"[\s\S]*" if at == len(pattern) else _ANY_DEPTH)
    return "".join(parts)


def _any_of(expressions: list[str]) -> str:
    """One expression for paths that any of these match, and for all that is below such a path."""
    deep = [each.removeprefix(_ANY_DEPTH) for each in expressions if each.startswith(_ANY_DEPTH)]
    branches = [each for each in expressions if not each.startswith(_ANY_DEPTH)]
    if deep:
        # Looking for the same start once instead of once a rule is what keeps fifty `**/x` rules fast.
        branches.append(f"{_ANY_DEPTH}(?:{'|'.join(deep)})")
    return rf"(?:{'|'.join(branches)})(?:/[\s\S]*)?"


def _reaches_below(negation: _Compiled, directory: list[str]) -> bool:
    """Whether the negation may match something below `directory`, judged by whole components."""
    if len(negation.parts) <= len(directory) and not negation.any_depth:
        return False
    return all(part is None or part == name for part, name in zip(negation.parts, directory, strict=False))


def _refuse(rule: IgnoreRule, cause: str) -> NoReturn:
    raise BuildFailure(
        "context-bad-ignore-pattern",
        f"{shown(rule.pattern)} is no valid pattern",
        span=rule.span,
        cause=cause,
        hint="put a backslash in front of a bracket that is meant literally",
    )
