"""A Dockerfile's bytes → its instructions."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.arguments import json_array
from lamina.dockerfile.directives import read_directives
from lamina.dockerfile.heredocs import openings
from lamina.dockerfile.instructions import build
from lamina.dockerfile.lexer import LineReader
from lamina.dockerfile.source import Source, read_source, shown
from lamina.dockerfile.statement import Statement, cut
from lamina.dockerfile.syntax import Dockerfile, Heredoc, Instruction

_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})


def parse(text: bytes, file: str) -> Dockerfile:
    """Parse a whole file. `file` is the name that spans carry.

    Raises `BuildFailure`, family `dockerfile`, for the first thing that is wrong. Whether the instructions make sense
    together (a stage to stand in, arguments that exist) is the plan's business.
    """
    source = read_source(text, file)
    directives = read_directives(source)
    escape = next((directive.value for directive in directives if directive.name == "escape"), "\\")
    reader = LineReader(source, escape, first=len(directives))
    instructions = _instructions(reader, escape)
    if not instructions:
        raise BuildFailure(
            "dockerfile-empty", f"{file} holds no instructions", span=Span(file, 1, 1, 1, 1), hint="begin with FROM"
        )
    return Dockerfile(file, source.lines(), escape, directives, instructions, tuple(reader.warnings))


def parse_trigger(text: str, span: Span, escape: str = "\\") -> Instruction:
    """Parse the text of an ONBUILD trigger, heredoc bodies included. All spans in the result are `span`.

    Raises `BuildFailure` as `parse` does, and `dockerfile-bad-trigger` unless it is one instruction that may be a
    trigger.
    """
    instructions = _instructions(LineReader(Source(text, span.file, span), escape), escape)
    if len(instructions) != 1 or instructions[0].keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise BuildFailure("dockerfile-bad-trigger", f"{shown(text)} cannot be an ONBUILD trigger", span=span)
    return instructions[0]


def _instructions(reader: LineReader, escape: str) -> tuple[Instruction, ...]:
    instructions: list[Instruction] = []
    while (line := reader.next_line()) is not None:
        statement = cut(line, escape)
        if "<<" in line.text:
            statement = replace(statement, heredocs=_heredocs(reader, statement))
        instructions.append(build(statement))
    return tuple(instructions)


def _heredocs(reader: LineReader, statement: Statement) -> tuple[Heredoc, ...]:
    """Read the bodies of the heredocs that a statement opens. Exec form opens none."""
    inner = cut(statement.line, statement.escape, statement.args.start) if statement.keyword == "ONBUILD" else statement
    if inner.keyword not in _WITH_HEREDOCS or json_array(inner, inner.args) is not None:
        return ()
    heredocs: list[Heredoc] = []
    for opened in openings(statement.line.text):
        span = statement.line.span(opened.start, opened.end)
        body = reader.read_heredoc(opened.name, opened.strip_tabs, statement.line, span)
        heredocs.append(Heredoc(opened.name, body, opened.expand, opened.strip_tabs, opened.fd, span))
    return tuple(heredocs)
