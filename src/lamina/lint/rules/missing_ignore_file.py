"""MissingIgnoreFile: the whole context is copied, and no ignore file keeps anything out."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    if subject.context is None or subject.context.rules is not None:
        return
    for step in subject.steps():
        taken = subject.context.on_line(step.line)
        if taken is not None and taken.whole and step.from_context:
            yield Found(
                step.instruction,
                "all files are copied and there is no .dockerignore: a change to the Dockerfile alone, or a commit, "
                "copies them anew",
                "`lamina context du` proposes lines for one",
            )
            return


RULE = Rule("MissingIgnoreFile", "warning", "who copies everything has an ignore file", _check, needs="context")
