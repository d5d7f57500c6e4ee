"""Numbers for people: durations, sizes, ages."""

from __future__ import annotations

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """`0.1s`, `12.3s`, `4m 05s`, `1h 02m`."""
    if seconds < 59.95:  # what would be rounded to 60.0s is a minute
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def size(count: int) -> str:
    """Bytes in decimal units, as Docker prints them: `512B`, `1.2kB`, `34.5MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if unit == "B" and count < 1000:
            return f"{count}B"
        if value < 999.5 or unit == "TB":  # what would be rounded to 1000 is one of the next unit
            return f"{value:.0f}{unit}" if value >= 99.95 else f"{value:.3g}{unit}"
        value /= 1000
    raise AssertionError("unreachable")


def age(seconds: float) -> str:
    """`5 seconds ago`, `3 hours ago`, `2 weeks ago`."""
    for name, length in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (name != "week" and seconds >= length):
            count = int(seconds // length)
            return f"{count} {name}{'s' if count != 1 else ''} ago"
    count = max(0, int(seconds))
    return f"{count} second{'s' if count != 1 else ''} ago"


def columns(rows: Sequence[Sequence[str]], gap: int = 3) -> list[str]:
    """A table of words, each column as wide as its widest word."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[word.ljust(width) for word, width in zip(row, widths, strict=True)] for row in rows]
    return [(" " * gap).join(words).rstrip() for words in padded]
