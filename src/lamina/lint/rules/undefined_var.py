"""UndefinedVar: a variable is used that nothing sets. Rule: BuildKit's build checks.

Where the base image is not known, it may set any name: then only what looks like a misspelt one is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for step in subject.steps():
        for name, near in step.unset:
            meant = f" (did you mean ${near}?)" if near else ""
            hint = f"declare it in this stage: ARG {name}" if name in subject.outer else None
            yield Found(step.instruction, f"Usage of undefined variable '${name}'{meant}", hint)


RULE = Rule("UndefinedVar", "warning", "variables are set before they are used", _check, buildkit=True)
