"""WorkdirRelativePath: the first WORKDIR of a file's stage is absolute. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Workdir
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    settled: set[int] = set()
    for stage in subject.stages:
        done = stage.parent in settled
        for step in stage.steps:
            one = step.instruction
            if not isinstance(one, Workdir):
                continue
            path = step.dest
            if not done and not path.startswith(("/", "$")):
                yield Found(one, f'Relative workdir "{path}" can have unexpected results if the base image changes')
            done = True
        if done:
            settled.add(stage.index)


RULE = Rule(
    "WorkdirRelativePath",
    "warning",
    "the first WORKDIR of a stage is absolute",
    _check,
    hadolint=("DL3000",),
    buildkit=True,
)
