"""What a build had of its shared cache, in one line."""

from __future__ import annotations

from lamina.engine.request import SharedUse
from lamina.report.words import duration, size


def shared_line(use: SharedUse) -> str:
    """`shared cache: hit 14 of 17, 80MB fetched, about 6m 05s saved; 3 steps written, 2.1MB sent`."""
    parts = [f"hit {use.hits} of {use.steps}", f"{size(use.fetched)} fetched"]
    if use.saved >= 0.05:
        parts.append(f"about {duration(use.saved)} saved")
    written = f"; {use.written} step{'s' if use.written != 1 else ''} written, {size(use.sent)} sent"
    return f"shared cache: {', '.join(parts)}{written if use.written else ''}"
