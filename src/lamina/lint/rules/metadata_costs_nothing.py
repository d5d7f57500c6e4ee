"""MetadataCostsNothing: an instruction without a layer that stands high up. Off unless asked for; it says that all is
well, so that nobody moves it in vain."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Cmd, Entrypoint, Expose, Healthcheck, Label, Maintainer, Stopsignal, Volume
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

_METADATA = (Cmd, Entrypoint, Expose, Healthcheck, Label, Maintainer, Stopsignal, Volume)


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        last = max((at for at, step in enumerate(stage.steps) if step.commands or step.sources), default=-1)
        for step in stage.steps[: max(last, 0)]:
            if isinstance(step.instruction, _METADATA):
                yield Found(
                    step.instruction,
                    f"{step.instruction.keyword} makes no layer: wherever it stands, a change to it rebuilds nothing",
                )


RULE = Rule("MetadataCostsNothing", "info", "metadata may stand anywhere: moving it saves nothing", _check, on=False)
