"""ConsistentInstructionCasing: all keywords in upper case, or all in lower. Rule: BuildKit's build checks."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.dockerfile.syntax import Instruction
from lamina.lint.places import keyword_place, written_keyword
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    judged: list[Instruction] = []
    for stage in subject.stages:
        judged += [stage.origin, *(step.instruction for step in stage.steps)]
    words = [written_keyword(one) for one in judged]
    lower = sum(word == word.lower() for word in words)
    upper = sum(word == word.upper() for word in words)
    majority = "lowercase" if lower > upper else "uppercase"
    for instruction, word in zip(judged, words, strict=True):
        right = word.lower() if lower > upper else word.upper()
        if word != right:
            message = f"Command '{word}' should match the case of the command majority ({majority})"
            place = keyword_place(subject.dockerfile, instruction)
            yield Found(instruction, message, edits=(Edit(place, right),) if place else ())


RULE = Rule("ConsistentInstructionCasing", "warning", "keywords are all in one case", _check, buildkit=True)
