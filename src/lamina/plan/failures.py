"""Failures that several parts of the planner raise."""

from __future__ import annotations

from lamina.diagnostics import BuildFailure, Span


def empty_value(what: str, span: Span) -> BuildFailure:
    """A word expanded to nothing where something is needed."""
    return BuildFailure(
        "dockerfile-empty-value",
        f"{what} expands to nothing",
        span=span,
        hint="check the spelling of its variables, or give them a default: ${NAME:-value}",
    )
