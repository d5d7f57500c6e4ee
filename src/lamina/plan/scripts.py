"""The shell text that a RUN runs, heredocs included, as far as it can be told. Pure."""

from __future__ import annotations

import re

from lamina.dockerfile.expansion import BadSubstitution
from lamina.dockerfile.heredocs import content, opening, openings
from lamina.dockerfile.syntax import Run
from lamina.plan.steps import RunOp

_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh"})
_SHEBANG = re.compile(r"#![ \t]*(?:\S*/env[ \t]+(?:-S[ \t]+)?)?(\S+)")
#: A shell that reads its input, with options but without a script: `bash -euo pipefail`.
_READS_INPUT = re.compile(r"(?:\S*/)?(\w+)(?:\s+[-+][abd-z]*o\s+\w+|\s+[-+][abd-z]+)*\s*\Z")


def is_shell(program: str) -> bool:
    """Whether a program, by its path or name, is a shell that is understood."""
    return program.rpartition("/")[2] in _SHELLS


def script_of(instruction: Run) -> str | None:
    """The shell text of a RUN in shell form; None if it is a program in another language."""
    text, heredocs = instruction.command.text, instruction.heredocs
    if not heredocs:
        return text
    if is_body(instruction):
        return _as_shell(content(heredocs[0]))
    return _as_shell(text + "".join(f"\n{heredoc.body}{heredoc.name}" for heredoc in heredocs))


def is_body(instruction: Run) -> bool:
    """Whether a heredoc alone is what a RUN runs."""
    try:
        return bool(instruction.heredocs) and opening(instruction.command.text.strip()) is not None
    except BadSubstitution:
        return False


def script_in(op: RunOp) -> str | None:
    """The same of a planned step; None as well if it starts no shell."""
    argv = op.argv
    if len(argv) < 3 or not is_shell(argv[0]) or not argv[-2].endswith("c"):
        return None
    return _as_shell(op.script.content if op.script is not None else argv[-1])


def _as_shell(text: str) -> str | None:
    """A script, or what a shell is given by a heredoc: of `bash -e <<EOF` the lines up to EOF."""
    if text.startswith("#!"):
        program = _SHEBANG.match(text)
        return text if program is not None and is_shell(program[1]) else None
    first, newline, rest = text.partition("\n")
    found = openings(first) if newline else ()
    if len(found) == 1 and rest.rpartition("\n")[2].strip("\t") == found[0].name:
        shell = _READS_INPUT.match((first[: found[0].start] + first[found[0].end :]).strip())
        if shell is not None and is_shell(shell[1]):
            return rest.rpartition("\n")[0]
    return text
