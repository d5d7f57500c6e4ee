"""Variable expansion in the words of an instruction: the calls that the plan makes.

All values of one instruction see the environment *before* it, so the caller passes the same `env` for each of them.
`on_unset` is called with each variable that was put in as nothing because it has no value and no default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.expansion import BadSubstitution, Expander, Options, Word
from lamina.dockerfile.source import shown

_EXPANSION = "the Dockerfile reference, Environment replacement, lists the forms"


def expand(
    text: str,
    env: Mapping[str, str],
    *,
    escape: str = "\\",
    span: Span | None = None,
    on_unset: Callable[[str], None] | None = None,
) -> str:
    """One word: quotes removed, escapes processed, variables replaced; blanks stay.

    Raises `dockerfile-bad-substitution` at `span`.
    """
    if not any(mark in text for mark in ("$", "'", '"', escape)):
        return text
    return _run(text, env, Options(escape), span, on_unset)[0]


def expand_words(
    text: str,
    env: Mapping[str, str],
    *,
    escape: str = "\\",
    span: Span | None = None,
    on_unset: Callable[[str], None] | None = None,
) -> tuple[str, ...]:
    """As `expand`, with the *result* split at blanks that were neither quoted nor escaped (EXPOSE)."""
    return tuple(word.text for word in _run(text, env, Options(escape), span, on_unset)[1])


def expand_heredoc(
    text: str,
    env: Mapping[str, str],
    *,
    escape: str = "\\",
    span: Span | None = None,
    on_unset: Callable[[str], None] | None = None,
) -> str:
    """A file's content from an unquoted heredoc: variables replaced, escapes processed, quotes without meaning.

    BuildKit takes the backslash here, whatever the escape directive says.
    """
    return _run(text, env, Options(escape, quotes=False), span, on_unset)[0]


def names(text: str, escape: str = "\\", *, heredoc: bool = False) -> frozenset[str]:
    """The variables that `text` refers to, also inside defaults; not the shell's `$1`, `$@` and their like."""
    if "$" not in text:
        return frozenset()
    asked = _Asked()
    _run(text, asked, Options(escape, quotes=not heredoc), None, None)
    return frozenset(name for name in asked.names if name and (name[0] == "_" or name[0].isalpha()))


class _Asked(Mapping[str, str]):
    """An environment in which everything is set, and that notes what was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return "x"

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _run(
    text: str,
    env: Mapping[str, str],
    options: Options,
    span: Span | None,
    on_unset: Callable[[str], None] | None,
) -> tuple[str, list[Word]]:
    try:
        return Expander(text, env, options, on_unset).run()
    except BadSubstitution as error:
        raise BuildFailure(
            "dockerfile-bad-substitution",
            f"cannot expand {shown(text)}",
            span=span,
            cause=shown(str(error)),
            hint=_EXPANSION,
        ) from None
