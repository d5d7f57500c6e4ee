"""Parsing options: argparse with errors in lamina's form, and readers for the values that several commands take."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn, TextIO

from lamina.diagnostics import BuildFailure
from lamina.oci.platform import Platform, normal_architecture, parse_platform
from lamina.oci.reference import Reference, parse_reference

_AGE = re.compile(r"([0-9]{1,9})([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)")


class Parser(argparse.ArgumentParser):
    """Raises BuildFailure `usage-…` where argparse would print and exit; suggests the flag that was meant."""

    def error(self, message: str) -> NoReturn:
        unknown = _UNKNOWN.match(message)
        hint = f"`{self.prog} --help` lists the options"
        if unknown and unknown[1].startswith("-"):
            flags = [
                flag
                for action in self._actions
                if action.help != argparse.SUPPRESS
                for flag in action.option_strings
                if "=" not in flag
            ]
            word = unknown[1].partition("=")[0]
            hint = suggestion(word, flags) or hint
            raise BuildFailure("usage-unknown-option", f"{self.prog} has no option {word}", hint=hint)
        raise BuildFailure("usage-bad-arguments", message, hint=hint)


class _Formatter(argparse.HelpFormatter):
    """Most options on one line each."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=columns(80) - 2)


def make_parser(command: str, description: str) -> Parser:
    """The parser of one command with the options that all have."""
    parser = Parser(
        prog=f"lamina {command}",
        description=description[:1].upper() + description[1:] + ".",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    parser.add_argument("--root", metavar="DIR", help="the store (default: $LAMINA_ROOT, else the user's data folder)")
    return parser


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """`did you mean …?`, or None."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), 1, 0.6)
    return f"did you mean {near[0]}?" if near else None


def terminal_width(stream: TextIO) -> int:
    """The columns that a table may take there."""
    return columns(120) if stream.isatty() else 120


@cache
def columns(fallback: int) -> int:
    """The width of the terminal: what `shutil.get_terminal_size` says, whose import a short command would notice."""
    told = os.environ.get("COLUMNS", "")
    if told.isascii() and told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else -1).columns or fallback
    except (ValueError, OSError):
        return fallback


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


def add_reproducible(add: Callable[..., object]) -> None:
    """The options of what must be the same on two machines, for commands that build or foresee a build."""
    kept = (
        "which permission bits of context files count: all, or git's executable bit (default: lamina.toml's, or keep)"
    )
    add("--modes", choices=("keep", "git"), help=kept)
    told = "the image's time, also offered to RUN steps; auto: that of the commit (default: lamina.toml's, or none)"
    add("--source-date-epoch", metavar="SECONDS|auto", help=told)
    told = "the same commit and base give the same image on every machine (docs/reproducible.md)"
    add("--reproducible", action=argparse.BooleanOptionalAction, help=told)


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


def commas(values: Sequence[str]) -> list[str]:
    """The values of an option that may be given several times, and may hold several with commas each time."""
    return [one.strip() for value in values for one in value.split(",") if one.strip()]


def build_args(arguments: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, str]:
    """The values of `--build-arg`. As in buildx, $SOURCE_DATE_EPOCH is one of them, unless the command line says in
    another way what time the image bears. Raises BuildFailure `usage-bad-arguments`."""
    found = pairs(arguments.build_arg, "--build-arg", from_environment=True)
    time = environment.get("SOURCE_DATE_EPOCH", "")
    if time and arguments.source_date_epoch is None and not arguments.reproducible:
        found.setdefault("SOURCE_DATE_EPOCH", time)
    return found


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
