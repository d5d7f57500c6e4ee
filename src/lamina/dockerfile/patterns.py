"""The patterns of `${v#p} ${v%p} ${v/p/r}`: `*`, `?` and a backslash escape, nothing else.

Rule: the Dockerfile reference, "Environment replacement". As in BuildKit neither wildcard matches a line feed.
"""

from __future__ import annotations

import re


class BadPattern(ValueError):
    """A backslash in front of a character that needs none."""


def without_prefix(pattern: str, value: str, longest: bool) -> str:
    """`value` without the shortest or longest prefix that matches."""
    found = re.match(_regex(_parts(pattern), longest), value)
    return value[found.end() :] if found else value


def without_suffix(pattern: str, value: str, longest: bool) -> str:
    """`value` without the shortest or longest suffix that matches."""
    # A regular expression finds the leftmost match; the shortest suffix is the shortest prefix of the reversed text.
    found = re.match(_regex(_parts(pattern)[::-1], longest), value[::-1])
    return value[: len(value) - found.end()] if found else value


def replaced(pattern: str, replacement: str, value: str, everywhere: bool) -> str:
    """`value` with the first match, or every one, replaced. Wildcards take as much as they can."""
    result: list[str] = []
    at = 0
    ended: int | None = None
    for found in re.finditer(_regex(_parts(pattern), longest=True), value):
        # An empty match right behind another one does not count (Go's rule, not Python's).
        if found.end() == found.start() == ended:
            continue
        result += (value[at : found.start()], replacement)
        at = ended = found.end()
        if not everywhere:
            break
    return "".join(result) + value[at:]


def _parts(pattern: str) -> list[str]:
    """The pattern in units: `*`, `?`, or a backslash and the character that it makes literal."""
    parts: list[str] = []
    chars = iter(range(len(pattern)))
    for at in chars:
        char = pattern[at]
        if char != "\\":
            parts.append(char if char in "*?" else "\\" + char)
            continue
        escaped = pattern[at + 1 : at + 2]
        # `}` and `/` are escaped for the substitution that stands around the pattern.
        if not escaped or escaped not in "*?\\}/":
            raise BadPattern(f"\\{escaped} is no valid escape in the pattern {pattern}")
        parts.append("\\" + escaped)
        next(chars)
    return parts


def _regex(parts: list[str], longest: bool) -> str:
    wild = {"*": "[^\\n]*" if longest else "[^\\n]*?", "?": "[^\\n]"}
    return "".join(wild.get(part) or re.escape(part[1:]) for part in parts)
