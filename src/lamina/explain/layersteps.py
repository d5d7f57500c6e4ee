"""Which instruction made each layer of an image: its history tells, and the story of its build. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from lamina.diagnostics import Span
from lamina.digest import DiffID
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.oci.config import ImageConfig

_SHELL = re.compile(r"^(?:RUN )?(?:\|\d+ .*?)?/bin/sh -c (?:#\(nop\)\s+)?")
_NOT_RUN = re.compile(r"^(COPY|ADD|RUN|WORKDIR)\b")


class Layer(Struct, frozen=True):
    """One layer. `text` is its instruction, `span` where that stands, None if no story tells. `base`: the build that
    made the image found it in the base image. `compressed` is the bytes of a blob, None if none is known."""

    diff_id: DiffID
    text: str
    span: Span | None = None
    base: bool = False
    compressed: int | None = None

    @property
    def keyword(self) -> str:
        """`RUN`, `COPY`, …, or `BASE`."""
        return "BASE" if self.base else self.text.partition(" ")[0].upper()


def layers_of(config: ImageConfig, story: Story | None, compressed: Sequence[int | None] = ()) -> tuple[Layer, ...]:
    """The layers of an image, lowest first. `compressed` are the sizes of their blobs, as far as they are known."""
    diff_ids = config.rootfs.diff_ids
    texts = [instruction(entry.created_by or entry.comment) for entry in config.history if not entry.empty_layer]
    texts = [*texts, *[""] * len(diff_ids)][: len(diff_ids)]
    sizes = [*compressed, *[None] * len(diff_ids)][: len(diff_ids)]
    steps = _steps(story) if story is not None else ()
    # From the top: what the build's last steps made are the last layers; what is left over is the base image's.
    made: dict[int, ToldStep] = {}
    left = list(steps)
    for number in range(len(diff_ids) - 1, -1, -1):
        if not left or left[-1].diff_id != diff_ids[number]:
            break
        made[number] = left.pop()
    known = story is not None and bool(story.stages) and not left
    return tuple(
        Layer(diff_id, made[number].text, made[number].span, False, sizes[number])
        if number in made
        else Layer(diff_id, texts[number], None, known, sizes[number])
        for number, diff_id in enumerate(diff_ids)
    )


def instruction(text: str) -> str:
    """A history's `created_by` as it was written, as far as that can be told: builders wrap it in a shell."""
    line = " ".join(text.split()).removesuffix("# buildkit").rstrip()
    found = _SHELL.match(line)
    if found is None:
        return line
    rest = line[found.end() :]
    return rest if "#(nop)" in found[0] or _NOT_RUN.match(rest) else f"RUN {rest}"


def _steps(story: Story) -> tuple[ToldStep, ...]:
    """The steps that made the image's layers, lowest first: those of the target and of the stages that it stands on."""
    stages = {stage.label.lower(): stage for stage in story.stages}
    found: list[ToldStep] = []
    stage: ToldStage | None = story.stages[-1] if story.stages else None
    while stage is not None:
        stages.pop(stage.label.lower(), None)
        found = [*(step for step in stage.steps if step.diff_id is not None), *found]
        on_another = stage.digest is None and stage.base != "scratch"
        stage = stages.get(stage.base.lower()) if on_another else None
    return tuple(found)
