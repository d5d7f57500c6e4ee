"""FromAsCasing: `as` is written in the case of its `FROM`. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.places import only_place, written_keyword
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        keyword = written_keyword(stage.origin)
        # A FROM that mixes both is ConsistentInstructionCasing's.
        if stage.origin.name is None or keyword not in (keyword.lower(), keyword.upper()):
            continue
        written = stage.origin.original.split()[-2]
        right = written.lower() if keyword == keyword.lower() else written.upper()
        if written != right:
            place = only_place(subject.dockerfile, stage.origin, rf"\s(?P<as>{written})\s+\S+\s*$", "as")
            edits = (Edit(place, right),) if place else ()
            yield Found(stage.origin, f"'{written}' and '{keyword}' keywords' casing do not match", edits=edits)


RULE = Rule("FromAsCasing", "warning", "`as` is written in the case of `from`", _check, buildkit=True)
