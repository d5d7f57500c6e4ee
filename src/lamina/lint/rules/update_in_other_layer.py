"""UpdateInOtherLayer: the package index is fetched in one RUN and used in another, where it is as old as the cache."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import mounted, packages_of
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

_INDEX = {"apt": "/var/lib/apt", "apk": "/var/cache/apk"}


def _check(subject: Subject) -> Iterator[Found]:
    told: set[int] = set()
    for stage in subject.stages:
        updated: dict[str, int] = {}
        for step in subject.chain(stage):
            calls = [call for command in step.commands if (call := packages_of(command)) is not None]
            fresh = {call.manager for call in calls if call.action == "update"}
            fresh |= {call.manager for call in calls if "--no-cache" in call.options or "-U" in call.options}
            for call in calls:
                manager = call.manager
                if call.action == "install" and manager in updated and manager not in fresh and step.line not in told:
                    told.add(step.line)
                    tool = {"apt": "apt-get update"}.get(manager, "apk update")
                    yield Found(
                        step.instruction,
                        f"this installs from the index of line {updated[manager]}, which is as old as its layer",
                        f"begin this RUN with `{tool} &&`",
                    )
            for manager in fresh & set(_INDEX):
                if not mounted(step, _INDEX[manager]):
                    updated[manager] = step.line


RULE = Rule("UpdateInOtherLayer", "warning", "an install fetches the package index in its own RUN", _check)
