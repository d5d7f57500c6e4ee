"""StageNameCasing: the name of a stage is written in lower case. Rule: BuildKit's build checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.lint.places import only_place
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        words = stage.origin.original.split()
        if stage.origin.name is None or words[-1] == stage.origin.name:
            continue
        place = only_place(
            subject.dockerfile, stage.origin, rf"\b(?i:as)\s+(?P<name>{re.escape(words[-1])})\s*$", "name"
        )
        edits = (Edit(place, stage.origin.name),) if place else ()
        yield Found(stage.origin, f"Stage name '{words[-1]}' should be lowercase", edits=edits)


RULE = Rule("StageNameCasing", "warning", "stage names are in lower case", _check, buildkit=True)
