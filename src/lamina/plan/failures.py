"""Failures that several parts of the planner raise."""

from __future__ import annotations

from lamina.diagnostics import BuildFailure, Span
from lamina.dockerfile.syntax import Flag


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


def choice(flag: Flag | None, allowed: tuple[str, ...]) -> str:
    """A flag's value out of a list, the first when the flag is absent. Raises `dockerfile-bad-flag-value`."""
    if flag is None:
        return allowed[0]
    if flag.value not in allowed:
        raise BuildFailure(
            "dockerfile-bad-flag-value",
            f"--{flag.name}={flag.value} is not known",
            span=flag.span,
            hint=f"one of {', '.join(allowed)}",
        )
    return flag.value


def is_true(flag: Flag | None) -> bool:
    """A boolean flag: absent is false, bare is true. Raises `dockerfile-bad-flag-value`."""
    return flag is not None and (flag.value is None or choice(flag, ("true", "false")) == "true")
