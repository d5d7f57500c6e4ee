"""A diagnostic in words: where, what, why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.diagnostics import Diagnostic, Span

_CONTEXT_LINES = 2


def diagnostic_lines(diagnostic: Diagnostic, sources: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines to print. `sources` maps a span's file name to that file's lines, where they are at hand."""
    lines: list[str] = []
    span = diagnostic.span
    if span is not None:
        lines.append(f"{span.file}:{span.line}")
        lines += _source(span, sources.get(span.file, ()))
    lines += [f"  | {line}" for line in diagnostic.excerpt]
    lines.append(f"{diagnostic.severity}: {diagnostic.message}")
    if diagnostic.cause:
        lines.append(f"  cause: {diagnostic.cause}")
    if diagnostic.hint:
        lines.append(f"  hint: {diagnostic.hint}")
    lines.append(f"  [{diagnostic.reference}]")
    return lines


def _source(span: Span, text: Sequence[str]) -> list[str]:
    if not 1 <= span.line <= len(text):
        return []
    first = max(1, span.line - _CONTEXT_LINES)
    last = min(len(text), max(span.line, min(span.end_line, span.line + 8)) + _CONTEXT_LINES)
    width = len(str(last))
    lines = []
    for number in range(first, last + 1):
        inside = span.line <= number <= max(span.line, span.end_line)
        line = text[number - 1]
        lines.append(f"  {number:>{width}} | {'>>>' if inside else '   '} {line}".rstrip())
        if number == span.line and 0 < span.column <= len(line) and _is_part(span, line):
            length = (span.end_column if span.end_line == span.line else len(line) + 1) - span.column
            # A tab above is a tab here, or the marker stands elsewhere on a screen.
            indent = "".join("\t" if char == "\t" else " " for char in line[: span.column - 1])
            lines.append(f"  {'':>{width}} |     {indent}{'^' * max(1, length)}")
    return lines


def _is_part(span: Span, line: str) -> bool:
    """Whether the span marks some words of its line rather than all of it (then a marker adds something)."""
    whole = span.column - 1 <= len(line) - len(line.lstrip())
    return not (whole and (span.end_line > span.line or span.end_column > len(line.rstrip())))
