"""JunkInCopy: a COPY takes along what nobody wants in an image: the history of git, environments, caches."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.rules.secret_in_copy import is_secret
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for step in subject.steps():
        taken = subject.context.on_line(step.line) if subject.context is not None else None
        junk = [one for one in taken.junk if not is_secret(one)] if taken is not None else []
        if junk:
            names = [one.example for one in junk]
            told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            files = sum(one.files for one in junk)
            what = junk[0].reason if len(junk) == 1 else "a change to any of them copies all anew"
            yield Found(
                step.instruction,
                f"this copies {told} ({files} file{'s' * (files != 1)}): {what}",
                f"add to .dockerignore: {'  '.join(one.pattern for one in junk)}",
            )


RULE = Rule("JunkInCopy", "warning", "a COPY takes no history, environments and caches along", _check, needs="context")
