"""InvalidDefinitionDescription: the comment above a stage or an ARG begins with its name.

Rule: BuildKit's build checks, which runs this one only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.dockerfile.syntax import Arg, Instruction
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for one in subject.dockerfile.instructions:
        if isinstance(one, Arg):
            yield from _described(one, [pair.name for pair in one.pairs], "<arg_key>")
    for stage in subject.stages:
        if stage.origin.name:
            yield from _described(stage.origin, [stage.origin.name], "")


def _described(one: Instruction, names: Sequence[str], several: str) -> Iterator[Found]:
    if one.comment and one.comment[-1].split(" ")[0] not in names:
        name = several if len(names) > 1 else names[0]
        yield Found(one, f"Comment for {one.keyword} should follow the format: `# {name} <description>`")


RULE = Rule(
    "InvalidDefinitionDescription",
    "warning",
    "the comment above a stage or ARG describes it, beginning with its name",
    _check,
    on=False,
    buildkit=True,
)
