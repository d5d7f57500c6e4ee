"""NoEmptyContinuation: no empty line inside a continued instruction. Rule: BuildKit's build checks.

BuildKit names the line on which the instruction ends, so that is the place here too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from lamina.diagnostics import Span
from lamina.dockerfile.source import SPACE
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    lines, instructions = subject.dockerfile.lines, subject.dockerfile.instructions
    ends = [one.span.end_line for one in instructions]
    for warning in subject.dockerfile.warnings:
        if warning.reference != "dockerfile-no-empty-continuation" or warning.span is None:
            continue
        first = warning.span.line
        instruction = instructions[min(bisect_left(ends, first), len(instructions) - 1)]
        # A heredoc's lines are not part of the continuation, empty ones neither.
        end = min((one.span.line for one in instruction.heredocs), default=instruction.span.end_line)
        end = max(first, min(end, len(lines)))
        empty = [number for number in range(first, end + 1) if not lines[number - 1].strip(SPACE)]
        file = subject.dockerfile.file
        edits = tuple(Edit(Span(file, number, 1, number + 1, 1), "") for number in empty if number < len(lines))
        place = Span(file, end, 1, end, len(lines[end - 1]) + 1)
        hint = f"delete the empty line {first}, or put a # there"
        yield Found(instruction, "Empty continuation line", hint, place, edits)


RULE = Rule("NoEmptyContinuation", "warning", "a continued instruction holds no empty line", _check, buildkit=True)
