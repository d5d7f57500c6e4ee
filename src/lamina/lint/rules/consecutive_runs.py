"""ConsecutiveRuns: RUN behind RUN. Off unless asked for: one RUN is fewer layers, two are finer pieces of cache."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Run
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        for above, step in zip(stage.steps, stage.steps[1:], strict=False):
            first, second = above.instruction, step.instruction
            if isinstance(first, Run) and isinstance(second, Run) and first.flags == second.flags == ():
                yield Found(
                    second,
                    f"this RUN could be one with that of line {above.line}",
                    "as one they are one layer; as two, a change to the second does not run the first again",
                )


RULE = Rule("ConsecutiveRuns", "info", "neighbouring RUNs are one", _check, on=False, hadolint=("DL3059",))
