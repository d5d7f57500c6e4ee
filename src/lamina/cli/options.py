"""Parsing options: argparse with errors in lamina's form, and readers for the values that several commands take."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NoReturn, TextIO

from lamina.diagnostics import BuildFailure
from lamina.workshop.parsing import pairs, suggestion

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
