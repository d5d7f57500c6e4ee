"""AptRecommends: apt installs what is merely recommended, too."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import packages_of
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for stage, step in subject.runs(shipped=True):
        for command in step.commands:
            call = packages_of(command)
            if call is None or (call.manager, call.action) != ("apt", "install") or not call.packages:
                continue
            if "--no-install-recommends" in call.options or any("Recommends" in word for word in command.words):
                continue
            if any("Install-Recommends" in one.instruction.original for one in subject.chain(stage)):
                continue
            yield Found(
                step.instruction,
                "apt also installs what the packages merely recommend",
                "add --no-install-recommends, and name what is missed then",
            )
            break


RULE = Rule("AptRecommends", "info", "apt installs only what is asked for and needed", _check, hadolint=("DL3015",))
