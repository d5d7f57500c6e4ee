"""Did you mean …? One hint for a misspelt word."""

from __future__ import annotations

from collections.abc import Iterable


def meant(word: str, choices: Iterable[str], prefix: str = "") -> str | None:
    """A hint with the choice that looks most like `word`, None when none does."""
    from difflib import get_close_matches

    folded = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return f"did you mean {prefix}{folded[close[0]]}?" if close else None
