"""UnpinnedTools: a tool is installed by name alone with pip, npm, gem or go. Off unless asked for."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

_MARKS = {
    "pip": "=<>~@$",
    "uv": "=<>~@$",
    "npm": "@$",
    "yarn": "@$",
    "pnpm": "@$",
    "gem": ":$",
    "go": "$",
    "cargo": "@$",
}


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs():
        for found in step.installs:
            marks = _MARKS.get(found.tool, "")
            named = [one for one in found.packages if one and marks and not any(mark in one[1:] for mark in marks)]
            named += [one for one in found.packages if found.tool == "go" and one.endswith("@latest")]
            if found.tool == "go":
                named = [one for one in named if one.endswith("@latest")]
            versioned = any(word in ("-v", "--version") for command in step.commands for word in command.words)
            if named and not (found.tool in ("gem", "cargo") and versioned):
                names = ", ".join(dict.fromkeys(named[:3]))
                yield Found(
                    step.instruction,
                    f"no version is given for {names}: a cached layer keeps what was new when it was built",
                    "pin the version",
                )


RULE = Rule(
    "UnpinnedTools",
    "info",
    "tools that are installed by name have versions",
    _check,
    on=False,
    hadolint=("DL3013", "DL3016", "DL3028", "DL3062"),
)
