"""DuplicateStageName: two stages of one name. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    seen: set[str] = set()
    for stage in subject.stages:
        name = stage.origin.name
        if name is not None and name in seen:
            yield Found(stage.origin, f'Duplicate stage name "{name}", stage names should be unique')
        seen.add(name or "")


RULE = Rule("DuplicateStageName", "warning", "stage names are unique", _check, hadolint=("DL3024",), buildkit=True)
