"""ReservedStageName: a stage called `context` or `scratch`. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if stage.origin.name in ("context", "scratch"):
            message = f'Stage name should not use the same name as reserved stage "{stage.origin.name}"'
            yield Found(stage.origin, message)


RULE = Rule(
    "ReservedStageName", "warning", "no stage is called context or scratch", _check, hadolint=("DL3063",), buildkit=True
)
