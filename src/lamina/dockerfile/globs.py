"""Shell patterns of paths as Go's `path/filepath.Match` understands them: COPY's wildcards and ignore files.

`*` and `?` stop at `/`; `[a-z]`, `[^a]` are classes (`!` does not negate); a backslash makes the next character
literal. The pattern must match the whole name.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.source import shown


class BadGlob(ValueError):
    """The pattern has a class that is not closed, empty or out of order, or ends in a backslash."""


def match(pattern: str, name: str, *, span: Span | None = None) -> bool:
    """Whether `pattern` matches all of `name`. Raises `dockerfile-bad-pattern` at `span`, whatever the name is."""
    try:
        found = _compiled(pattern).fullmatch(name)
    except BadGlob as error:
        raise BuildFailure(
            "dockerfile-bad-pattern",
            f"{shown(pattern)} is no valid pattern",
            span=span,
            cause=str(error),
            hint="put a backslash in front of a bracket that is meant literally",
        ) from None
    return found is not None


# One pattern is held against every name of a directory, so it is translated once.
@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Raises `BadGlob`."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        part, at = unit(pattern, at)
        parts.append(part)
    return re.compile("".join(parts))


def unit(pattern: str, at: int) -> tuple[str, int]:
    """The regular expression of one character, wildcard or class, and the offset behind it. Raises `BadGlob`."""
    char = pattern[at]
    if char == "*":
        return "[^/]*", at + 1
    if char == "?":
        return "[^/]", at + 1
    if char == "[":
        return _class(pattern, at + 1)
    if char != "\\":
        return re.escape(char), at + 1
    if at + 1 == len(pattern):
        raise BadGlob("it ends in a backslash")
    return re.escape(pattern[at + 1]), at + 2


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A class whose opening bracket stands before `at`."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        if low > high:
            raise BadGlob(f"the range {low}-{high} is out of order")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in ("-", "]"):
        raise BadGlob(f"{char} must be escaped inside brackets")
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
    if not char or at + 1 == len(pattern):
        raise BadGlob("a bracket is not closed")
    return char, at + 1
