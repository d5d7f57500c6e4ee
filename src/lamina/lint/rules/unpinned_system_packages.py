"""UnpinnedSystemPackages: packages without a version. Off unless asked for: most distributions keep one only."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import packages_of
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs():
        free: list[str] = []
        for command in step.commands:
            call = packages_of(command)
            if call is not None and call.action == "install":
                free += [one for one in call.packages if not any(mark in one for mark in "=~<>$/@*") and not _rpm(one)]
        if free:
            yield Found(
                step.instruction,
                f"no version is given for {', '.join(free[:3])}{' and more' if len(free) > 3 else ''}: a cached layer "
                "keeps what was new when it was built",
                "pin versions, or build this layer anew from time to time (--no-cache-filter)",
            )


def _rpm(word: str) -> bool:
    """Whether a word names a version as rpm does: `bash-5.1`, or is a group of packages."""
    return word.startswith("@") or any(part[:1].isdigit() for part in word.split("-")[1:])


RULE = Rule(
    "UnpinnedSystemPackages",
    "info",
    "system packages have versions",
    _check,
    on=False,
    hadolint=("DL3008", "DL3018", "DL3033", "DL3037", "DL3041"),
)
