"""What can be changed in a Dockerfile without changing the image."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.advise.lift_runs import lift_runs
from lamina.advise.own_stage import own_stage
from lamina.advise.scene import Move, Scene
from lamina.advise.sink_args import sink_args
from lamina.advise.sink_copies import sink_copies


def moves(scene: Scene) -> Iterator[Move]:
    """All that is worth a try, one change each."""
    yield from sink_copies(scene)
    yield from lift_runs(scene)
    yield from sink_args(scene)
    yield from own_stage(scene)
