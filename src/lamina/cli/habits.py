"""Options that people and scripts give because Docker has them: switches with `=true` and `=false`, options that have
no effect here, and options that are refused with what to do instead."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from lamina.diagnostics import BuildFailure

_Add = Callable[..., Any]


def switch(add: _Add, *names: str, **fields: Any) -> None:
    """An option that is on or off: `--pull`, `--pull=true`, `--pull=false`; `names` end with the long one."""
    action: argparse.Action = add(*names, action="store_true", **fields)
    for text, value in (("true", True), ("false", False)):
        written = f"{names[-1]}={text}"
        add(written, action="store_const", const=value, dest=action.dest, default=False, help=argparse.SUPPRESS)


def without_effect(add: _Add, *names: str, value: bool = False) -> None:
    """Take an option (with `value` one that has a value) and do nothing: what it asks for is so anyway, or means
    nothing here."""
    if value:
        add(*names, action="append", help=argparse.SUPPRESS)
    else:
        switch(add, *names, help=argparse.SUPPRESS)


def refused(add: _Add, instead: Mapping[str, str]) -> None:
    """Refuse options (several names of one separated by blanks), each with its hint. Switching one off is fine.

    They raise BuildFailure `usage-not-there` when they are given.
    """
    for names, hint in instead.items():
        add(*names.split(), nargs="?", action=_Refused, const=hint, help=argparse.SUPPRESS)


class _Refused(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _: object, value: object, option: str | None = None) -> None:
        if value != "false":
            # With nothing behind the option argparse passes `const`.
            raise BuildFailure("usage-not-there", f"{parser.prog} has no {option}", hint=str(self.const))
