"""Durations as Go writes them (`1m30s`), for HEALTHCHECK."""

from __future__ import annotations

import re

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TERM = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"([+-]?)((?:{_TERM.pattern})+)\Z")
_LIMIT = 2**63 - 1


def nanoseconds(text: str) -> int:
    """The duration in nanoseconds. Raises ValueError for what Go's `time.ParseDuration` refuses."""
    if text in ("0", "+0", "-0"):
        return 0
    whole = _WHOLE.match(text)
    if whole is None:
        raise ValueError(f"{text or 'nothing'} is no duration")
    total = 0
    for number, unit in _TERM.findall(whole[2]):
        integer, _, fraction = number.partition(".")
        total += int(integer or "0") * _NANOSECONDS[unit]
        total += int(fraction or "0") * _NANOSECONDS[unit] // 10 ** len(fraction)
    if total > _LIMIT:
        raise ValueError(f"{text} is too long")
    return -total if whole[1] == "-" else total
