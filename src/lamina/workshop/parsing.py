"""What users write for a value, in an option or a call: the store's place, names, platforms, times."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from lamina.diagnostics import BuildFailure
from lamina.oci.platform import Platform, normal_architecture, parse_platform
from lamina.oci.reference import Reference, parse_reference

_AGE = re.compile(r"([0-9]{1,9})([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """`did you mean …?`, or None."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1, 0.6)
    return f"did you mean {near[0]}?" if near else None


def store_root(given: str | os.PathLike[str] | None) -> Path:
    """Where the store is: as given, $LAMINA_ROOT, /var/lib/lamina for root, else below $XDG_DATA_HOME."""
    chosen = given or os.environ.get("LAMINA_ROOT")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/lamina")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "lamina"


def reference(text: str) -> Reference:
    """An image name. Raises BuildFailure `usage-image-name`."""
    try:
        return parse_reference(text)
    except ValueError as error:
        raise BuildFailure("usage-image-name", str(error)) from None


def host_platform() -> Platform:
    return Platform("linux", normal_architecture(os.uname().machine))


def platforms(text: str | None) -> tuple[Platform, ...]:
    """The platforms of a --platform value, each once, by default the host's. Raises BuildFailure `usage-platform`."""
    host = host_platform()
    if not text:
        return (host,)
    try:
        words = [each.strip() for each in text.split(",")]
        return tuple(dict.fromkeys(host if each == "local" else parse_platform(each, default=host) for each in words))
    except ValueError as error:
        raise BuildFailure("usage-platform", str(error)) from None


def platform(text: str | None) -> Platform:
    """One --platform value, by default the host's. Raises BuildFailure `usage-platform`."""
    found = platforms(text)
    if len(found) > 1:
        raise BuildFailure("usage-platform", f"one platform is wanted here, and {text!r} names several")
    return found[0]


def epoch(text: str | None) -> int | Literal["auto"] | None:
    """A --source-date-epoch value. Raises BuildFailure `usage-bad-arguments`."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdecimal():
        hint = "write a number of seconds since 1970, or auto for the commit's time"
        raise BuildFailure("usage-bad-arguments", f"--source-date-epoch {text!r} is no time", hint=hint)
    return int(text)


def seconds_of(text: str) -> int:
    """An age such as `12h`, `30d`, `4w`. Raises BuildFailure `usage-bad-arguments`."""
    found = _AGE.match(text)
    if not found:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is not an age", hint="write 12h, 30d or 4w")
    return int(found[1]) * _SECONDS[found[2]]


def pairs(values: Sequence[str], option: str, *, from_environment: bool = False) -> dict[str, str]:
    """`NAME=value` words; with `from_environment`, a bare `NAME` takes the caller's value or is left out.

    Raises BuildFailure `usage-bad-arguments`.
    """
    result: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not (equals or from_environment):
            raise BuildFailure("usage-bad-arguments", f"{option} {value!r}: write NAME=value")
        if equals:
            result[name] = text
        elif name in os.environ:
            result[name] = os.environ[name]
    return result
