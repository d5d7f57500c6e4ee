"""CopyIgnoredFile: COPY or ADD names a file that the ignore file keeps out. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.globs import BadGlob
from lamina.dockerfile.ignore import IgnoreRules
from lamina.keys.select import has_wildcard
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject
from lamina.plan.scope import normal_path


def _check(subject: Subject) -> Iterator[Found]:
    rules = subject.context.rules if subject.context is not None else None
    if rules is None:
        return
    for step in subject.steps():
        if not step.from_context:
            continue
        for source in step.sources:
            if "://" in source or source.startswith("git@") or has_wildcard(source) or "$" in source:
                continue
            path = normal_path(source)[1:]
            if path and _out(rules, path):
                word = "Copy" if step.instruction.keyword == "COPY" else "Add"
                yield Found(
                    step.instruction,
                    f'Attempting to {word} file "{source}" that is excluded by .dockerignore',
                    "`lamina context why PATH` names the rule that keeps it out",
                )


def _out(rules: IgnoreRules, path: str) -> bool:
    try:
        # A directory that is out may still hold what a later rule brings back.
        return rules.excluded(path) and not rules.may_hold_included(path)
    except BadGlob:
        return False


RULE = Rule(
    "CopyIgnoredFile",
    "warning",
    "COPY names no file that the ignore file keeps out",
    _check,
    on=False,
    needs="context",
    buildkit=True,
)
