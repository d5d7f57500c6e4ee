"""Installs that still run in the best order, and could keep what they download. They change the image: suggestions."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from lamina.advise.cost import commands_of
from lamina.advise.replay import Replay
from lamina.plan.installs import installs
from lamina.plan.steps import CacheMount, RunOp


class Mountable(Struct, frozen=True):
    """A RUN at `line` of the new order that ran at `commits` and took `seconds`; `flags` are the mounts for what its
    tools download. How much they save is not known; the image loses what the tools leave in those folders."""

    line: int
    text: str
    flags: str
    commits: int
    seconds: float


def mountable(replay: Replay, least: float) -> Iterator[Mountable]:
    """The installs that lost more than `least` seconds and have no cache mount where their tool keeps downloads."""
    for track in replay.tracks:
        op = track.step.op
        if not isinstance(op, RunOp) or track.lost <= least:
            continue
        mounted = [mount.target for mount in op.mounts if isinstance(mount, CacheMount)]
        wanted = dict.fromkeys(
            # Where a tool has several, the first is that of its usual image.
            install.caches[0]
            for install in installs(commands_of(op))
            if install.caches and op.user in ("", "root", "0")
        )
        missing = [folder for folder in wanted if not any((folder + "/").startswith(one + "/") for one in mounted)]
        if missing and not set(mounted) & set(wanted):
            flags = " ".join(f"--mount=type=cache,target={folder}" for folder in missing)
            yield Mountable(track.step.span.line, track.step.text, flags, len(track.ran), track.lost)
