"""MultipleInstructionsDisallowed: of several CMD, ENTRYPOINT or HEALTHCHECK the last one counts alone.

Rule: BuildKit's build checks; the place is the one that has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Cmd, Entrypoint, Healthcheck, Instruction
from lamina.lint.places import written_keyword
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        last: dict[str, Instruction] = {}
        for step in stage.steps:
            one = step.instruction
            if isinstance(one, Cmd | Entrypoint | Healthcheck):
                before = last.get(one.keyword)
                if before is not None:
                    yield Found(
                        before,
                        f"Multiple {written_keyword(one)} instructions should not be used in the same stage because "
                        "only the last one will be used",
                        f"line {one.span.line} has the one that counts",
                    )
                last[one.keyword] = one


RULE = Rule(
    "MultipleInstructionsDisallowed",
    "warning",
    "a stage has one CMD, one ENTRYPOINT, one HEALTHCHECK",
    _check,
    hadolint=("DL4003", "DL4004", "DL3012"),
    buildkit=True,
)
