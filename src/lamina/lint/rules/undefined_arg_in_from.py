"""UndefinedArgInFrom: FROM uses an argument that no ARG above it declares. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject
from lamina.lint.variables import Variables, nearest


def _check(subject: Subject) -> Iterator[Found]:
    declared = {pair.name for one in subject.above for pair in one.pairs} | set(subject.outer)
    variables = Variables(subject.outer, subject.dockerfile.escape, complete=True)
    for stage in subject.stages:
        platform = stage.origin.flag("platform")
        for text in (stage.origin.image, (platform.value or "") if platform else ""):
            unset: set[str] = set()
            variables.expand(text, stage.origin.span, unset)
            for name in sorted(unset - declared):
                near = nearest(name, sorted(declared))
                meant = f" (did you mean {near}?)" if near else ""
                yield Found(stage.origin, f"FROM argument '{name}' is not declared{meant}")


RULE = Rule("UndefinedArgInFrom", "warning", "FROM uses declared arguments alone", _check, buildkit=True)
