"""RedundantTargetPlatform: `FROM --platform=$TARGETPLATFORM` says what is so anyway. Rule: BuildKit's build checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.diagnostics import Span
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject

_TARGET = r"\$(?:TARGETPLATFORM|\{TARGETPLATFORM(?::?-[^}]*)?\})\Z"


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        flag = stage.origin.flag("platform")
        if flag is None or not re.match(_TARGET, flag.value or ""):
            continue
        span = flag.span
        edits: tuple[Edit, ...] = ()
        line = subject.dockerfile.lines[span.line - 1]
        if span.line == span.end_line and line[span.end_column - 1 :].strip():
            gap = len(line) - len(line[span.end_column - 1 :].lstrip())
            edits = (Edit(Span(span.file, span.line, span.column, span.line, gap + 1), ""),)
        yield Found(
            stage.origin,
            f"Setting platform to predefined {flag.value} in FROM is redundant as this is the default behavior",
            edits=edits,
        )


RULE = Rule(
    "RedundantTargetPlatform",
    "warning",
    "FROM need not say --platform=$TARGETPLATFORM",
    _check,
    hadolint=("DL3065",),
    buildkit=True,
)
