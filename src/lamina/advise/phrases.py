"""Pieces of the sentences that moves are told in."""

from __future__ import annotations

from collections.abc import Sequence

_TEXT, _NAMES = 60, 4


def short(text: str) -> str:
    """An instruction on one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b, c, d and 3 more`."""
    shown = list(names[:_NAMES]) + ([f"{len(names) - _NAMES} more"] if len(names) > _NAMES else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
