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


def not_built_yet(what: str, span: Span) -> BuildFailure:
    """The language has it, lamina does not yet: refused rather than silently left out."""
    return BuildFailure(
        "dockerfile-not-built-yet",
        f"lamina does not build {what} yet",
        span=span,
        hint="docs/compatibility.md lists what is there and what is not",
    )
