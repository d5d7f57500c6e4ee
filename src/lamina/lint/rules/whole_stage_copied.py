"""WholeStageCopied: the whole file system of another stage or image is copied over this one."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.copies import landing
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Stage, Subject
from lamina.plan.scope import normal_path


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        for step in stage.steps:
            flag = step.instruction.flag("from")
            if flag is None or landing(step) != "/" or not any(normal_path(one) == "/" for one in step.sources):
                continue
            if not _small(subject, flag.value or "", stage):
                yield Found(
                    step.instruction,
                    f"all of {flag.value} is copied into one layer, which is new whenever anything in it is",
                    f"copy what is needed, or build on it: FROM {flag.value}",
                )


def _small(subject: Subject, name: str, stage: Stage) -> bool:
    """Whether that is a stage on scratch, which holds nothing but what was put there to be copied."""
    for other in reversed(subject.stages[: stage.index]):
        if name.lower() == other.origin.name or name == str(other.index):
            while other.parent is not None:
                other = subject.stages[other.parent]
            return other.base == "scratch"
    return False


RULE = Rule("WholeStageCopied", "warning", "no whole file system is copied over another", _check, hadolint=("DL3067",))
