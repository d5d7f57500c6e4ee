"""A RUN cut into two that do the same one after the other; an install without the project in front of one with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from lamina.advise.cost import commands_of
from lamina.dockerfile import syntax
from lamina.dockerfile.shellcommands import shell_commands
from lamina.plan.installs import install_of
from lamina.plan.steps import RunOp

#: What the commands behind them would miss in a shell of their own.
LASTING = frozenset(
    [
        "cd",
        "export",
        "set",
        "umask",
        "exec",
        "shopt",
        "alias",
        "source",
        ".",
        "trap",
        "ulimit",
        "unset",
        "readonly",
        "eval",
        "local",
    ]
)


class Half(Struct, frozen=True):
    """One of the two: the `command` for the shell, the instruction's `text` on one line and its `lines`."""

    command: str
    text: str
    lines: tuple[str, ...]


def halves(instruction: syntax.Instruction | None, op: RunOp, escape: str = "\\") -> Iterator[tuple[Half, Half]]:
    """The cuts at `&&`, the last first, where the second part does not depend on the first part's shell. `escape` is
    the file's escape character.

    None for what is no plain list of commands, or cleans up behind itself: then the layers would be larger.
    """
    if not isinstance(instruction, syntax.Run) or instruction.heredocs or instruction.command.argv is not None:
        return
    parts = list_parts(instruction.command.text)
    if parts is None or len(parts) < 2 or any(command.program == "rm" for command in commands_of(op)):
        return
    flags = written_flags(instruction)
    for count in range(len(parts) - 1, 0, -1):
        first = [command for part in parts[:count] for command in shell_commands(part)]
        if first and all(command.words and command.words[0] not in LASTING for command in first):
            yield half(flags, parts[:count], escape), half(flags, parts[count:], escape)


def two_step(op: RunOp) -> str | None:
    """The same install with the flags that leave the project out, if a RUN is that alone."""
    commands = commands_of(op)
    install = install_of(commands[0]) if len(commands) == 1 else None
    if install is None or not install.project or not install.alone or re.search(r"[;&|<>]", op.argv[-1]):
        return None
    flags = [word for word in install.alone.split() if word.startswith("-") and word not in commands[0].words]
    if install.tool == "uv" and not install.frozen:
        return None
    return f"{op.argv[-1].strip()} {' '.join(flags)}" if flags else None


def written_flags(instruction: syntax.Instruction) -> str:
    """The flags of an instruction as they stand in front of the rest, a blank at the end."""
    return "".join(f"--{flag.name}{'' if flag.value is None else '=' + flag.value} " for flag in instruction.flags)


def half(flags: str, parts: Sequence[str], escape: str) -> Half:
    """A RUN of these commands."""
    lines = [f"RUN {flags}{parts[0]}", *(f"    && {part}" for part in parts[1:])]
    return Half(
        " && ".join(parts),
        # The text that the parser makes of these lines.
        "".join([lines[0], *(f" {line}" for line in lines[1:])]),
        tuple(line + (f" {escape}" if at < len(lines) - 1 else "") for at, line in enumerate(lines)),
    )


def list_parts(text: str) -> list[str] | None:
    """The commands of a list that is joined by `&&` alone; None for anything else."""
    parts, begin, at, quote, depth = list[str](), 0, 0, "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            at += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "({":
            depth += 1
        elif char in ")}":
            depth -= 1
        elif char in ";|\n`#" and depth == 0:
            return None
        elif char == "&" and depth == 0:
            if text[at : at + 2] != "&&":
                return None
            parts.append(text[begin:at])
            at += 2
            begin = at
            continue
        at += 1
    parts.append(text[begin:])
    return [" ".join(part.split()) if '"' not in part and "'" not in part else part.strip() for part in parts]
