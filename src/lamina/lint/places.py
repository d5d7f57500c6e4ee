"""Where something stands inside an instruction: from a pattern to spans, line by line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.diagnostics import Span
from lamina.dockerfile.syntax import Dockerfile, Instruction


def lines_of(dockerfile: Dockerfile, instruction: Instruction) -> Iterator[tuple[int, str]]:
    """The physical lines of an instruction, heredocs included: number and text. Comments between them are left out."""
    span = instruction.span
    for number in range(span.line, min(span.end_line, len(dockerfile.lines)) + 1):
        text = dockerfile.lines[number - 1]
        if number == span.line or not text.lstrip().startswith("#"):
            yield number, text


def places(dockerfile: Dockerfile, instruction: Instruction, pattern: str, group: int | str = 0) -> list[Span]:
    """All places in an instruction where a regular expression matches within one line."""
    expression = re.compile(pattern)
    found: list[Span] = []
    for number, text in lines_of(dockerfile, instruction):
        start = instruction.span.column - 1 if number == instruction.span.line else 0
        for match in expression.finditer(text, start):
            begin, end = match.span(group)
            if begin >= 0:
                found.append(Span(dockerfile.file, number, begin + 1, number, end + 1))
    return found


def only_place(dockerfile: Dockerfile, instruction: Instruction, pattern: str, group: int | str = 0) -> Span | None:
    """The one place where a pattern matches; None if there is none or more than one."""
    found = places(dockerfile, instruction, pattern, group)
    return found[0] if len(found) == 1 else None


def keyword_place(dockerfile: Dockerfile, instruction: Instruction) -> Span | None:
    """Where the instruction's keyword stands; None if it is torn apart by continuations."""
    span, word = instruction.span, written_keyword(instruction)
    end = span.column - 1 + len(word)
    if dockerfile.lines[span.line - 1][span.column - 1 : end] != word:
        return None
    return Span(span.file, span.line, span.column, span.line, end + 1)


def written_keyword(instruction: Instruction) -> str:
    """The keyword as it is written."""
    return instruction.original.split(None, 1)[0] if instruction.original.split() else ""


def behind(span: Span) -> Span:
    """The empty place at the end of a span."""
    return Span(span.file, span.end_line, span.end_column, span.end_line, span.end_column)
