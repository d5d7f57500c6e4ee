"""Reading `WWW-Authenticate` (RFC 9110, 11.3 and 11.6.1): several challenges, quoted and bare values, in one field."""

from __future__ import annotations

import re

from msgspec import Struct

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SEPARATORS = re.compile(r"[\s,]*")
_SCHEME = re.compile(rf"({_TOKEN})(?=[\s,]|\Z)")
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|\Z)")
# Bare values may hold more than the grammar's token: registries in use write `realm=https://…` without quotes.
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_ESCAPE = re.compile(r"\\(.)")


class Challenge(Struct, frozen=True):
    """One way to authenticate: the scheme and the parameter names in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """All challenges of a header, in order. What follows a syntax error is left out; never raises."""
    found: list[Challenge] = []
    position = _end(_SEPARATORS.match(header, 0))
    while scheme := _SCHEME.match(header, position):
        position = scheme.end()
        parameters: dict[str, str] = {}
        if token68 := _TOKEN68.match(header, position):
            position = token68.end()
        else:
            while parameter := _PARAMETER.match(header, position):
                quoted, bare = parameter.group(2, 3)
                parameters[parameter[1].lower()] = bare if quoted is None else _ESCAPE.sub(r"\1", quoted)
                position = parameter.end()
        found.append(Challenge(scheme[1].lower(), parameters))
        position = _end(_SEPARATORS.match(header, position))
    return tuple(found)


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0
