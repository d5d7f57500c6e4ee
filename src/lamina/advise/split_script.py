"""A RUN whose commands stand in a heredoc, cut into a RUN of the first ones and the rest of the script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from lamina.advise.cost import commands_of
from lamina.advise.split import LASTING, Half, half, list_parts, written_flags
from lamina.dockerfile import syntax
from lamina.dockerfile.shellcommands import shell_commands
from lamina.plan.scripts import is_body, script_of
from lamina.plan.steps import RunOp

#: What makes a line more than a list of commands, or its lines depend on each other.
_GRAMMAR = re.compile(
    r"(?m)<<|^[ \t]*(?:(?:if|for|while|until|case|select|function|trap|exec|return|exit|source|eval)\b|\.\s|[({}]|"
    r"\w+\s*\(\))"
)
_OPEN_END = re.compile(r"(?:\\|&&|\|\|?)\s*\Z")


def script_halves(instruction: syntax.Instruction | None, op: RunOp, escape: str) -> Iterator[tuple[Half, Half]]:
    """The cuts between the lines of a heredoc, the last first. What stands at its head for all (`set -e`, `export`)
    counts for both parts. None for a script with branches, or that cleans up behind itself."""
    if not isinstance(instruction, syntax.Run) or not is_body(instruction) or script_of(instruction) is None:
        return
    body = instruction.heredocs[0].body
    if _GRAMMAR.search(body) or any(command.program == "rm" for command in commands_of(op)):
        return
    lines = _logical(body.splitlines())
    head = 0
    while head < len(lines) and _is_head(lines[head]):
        head += 1
    exported = [part for line in lines[:head] for part in _exports(line)]
    for count in range(len(lines) - 1, head, -1):
        first = [line for line in lines[head:count] if not _is_aside(line)]
        listed = [list_parts(" ".join(_joined(line).split())) for line in first]
        parts = [part for found in listed for part in found or ()]
        commands = [command for part in parts for command in shell_commands(part)]
        if (
            _is_aside(lines[count - 1])
            or all(map(_is_aside, lines[count:]))
            or not parts
            or None in listed
            or not all(command.words and command.words[0] not in LASTING for command in commands)
        ):
            continue
        rest = "\n".join(line for lines_ in (lines[:head], lines[count:]) for line in lines_)
        text = (instruction.original, *rest.split("\n"), instruction.heredocs[0].name)
        made = half(written_flags(instruction), [*exported, *parts], escape)
        comments = (line.strip() for line in lines[head:count] if line.lstrip().startswith("#"))
        yield replace(made, lines=(*comments, *made.lines)), Half(rest, instruction.original, text)


def _logical(lines: Sequence[str]) -> list[str]:
    """The lines, those put together that belong to one command."""
    found: list[str] = []
    for line in lines:
        if found and (_OPEN_END.search(found[-1]) or not (_is_aside(found[-1]) or shell_commands(found[-1]))):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def _joined(line: str) -> str:
    """A logical line as one line; what was put together with a comment between does not come out as commands."""
    return re.sub(r"\\?\n", " ", line)


def _is_aside(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _is_head(line: str) -> bool:
    return _is_aside(line) or re.match(r"\s*(?:set\s+[-+][^;&|]*|export\s+\w+=[\w./:+-]*\s*)\Z", line) is not None


def _exports(line: str) -> list[str]:
    return [" ".join(line.split())] if line.lstrip().startswith("export") else []
