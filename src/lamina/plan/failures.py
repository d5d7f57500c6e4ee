"""Failures that several parts of the planner raise."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.syntax import Heredoc


def empty_value(what: str, span: Span) -> BuildFailure:
    """A word expanded to nothing where something is needed."""
    return BuildFailure(
        "dockerfile-empty-value",
        f"{what} expands to nothing",
        span=span,
        hint="check the spelling of its variables, or give them a default: ${NAME:-value}",
    )


def close(word: str, known: Iterable[str]) -> list[str]:
    """The one of these words that was meant, if one is like it."""
    from difflib import get_close_matches  # here, because most builds have nothing misspelled

    return get_close_matches(word, list(known), 1)


def file_name(heredoc: Heredoc) -> str:
    """The name of a heredoc that becomes a file. Raises BuildFailure for one that would lead elsewhere."""
    if heredoc.name in ("", ".", "..") or "/" in heredoc.name or "\0" in heredoc.name:
        raise BuildFailure(
            "dockerfile-bad-heredoc-name",
            f"a heredoc called {heredoc.name!r} cannot be a file",
            span=heredoc.span,
            hint="the file is called like the heredoc, and the destination says where it goes",
        )
    return heredoc.name
