"""LegacyKeyValueFormat: `ENV key=value` in place of `ENV key value`. Rule: BuildKit's build checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.diagnostics import Span
from lamina.dockerfile.syntax import Dockerfile, Env, Label
from lamina.lint.places import keyword_place, written_keyword
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject

#: A value in which no character is special to either form, but for variables.
_SAFE = r"[^\s\"'\\`#][^\"'\\`\n\r\t]*\Z"


def _check(subject: Subject) -> Iterator[Found]:
    for step in subject.steps():
        one = step.instruction
        if isinstance(one, Env | Label) and one.legacy:
            word = written_keyword(one)
            message = f'"{word} key=value" should be used instead of legacy "{word} key value" format'
            yield Found(one, message, edits=_edits(subject.dockerfile, one))


def _edits(dockerfile: Dockerfile, one: Env | Label) -> tuple[Edit, ...]:
    pair, span = one.pairs[0], one.span
    value = (pair.value or "").rstrip()
    if span.line != span.end_line or not re.match(r"[\w.-]+\Z", pair.name):
        return ()
    if not re.match(_SAFE, value) or "  " in value:
        return ()
    quoted = f'"{value}"' if re.search(r"\s", value) else value
    start = keyword_place(dockerfile, one)
    if start is None:
        return ()
    return (Edit(Span(span.file, span.line, start.end_column, span.line, span.end_column), f" {pair.name}={quoted}"),)


RULE = Rule("LegacyKeyValueFormat", "warning", "ENV and LABEL have an = between key and value", _check, buildkit=True)
