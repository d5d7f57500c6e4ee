"""ApkCacheKept: the index of apk stays in a layer that is shipped."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import mounted, packages_of, removes
from lamina.lint.places import behind, only_place
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject

_CACHE = "/var/cache/apk"


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs(shipped=True):
        if mounted(step, _CACHE) or mounted(step, "/etc/apk/cache") or removes(step.commands, _CACHE):
            continue
        for command in step.commands:
            call = packages_of(command)
            if call is None or call.manager != "apk" or call.action == "clean" or "--no-cache" in call.options:
                continue
            place = only_place(subject.dockerfile, step.instruction, r"\bapk\s+(?:-\S+\s+)*(?:add|update)\b")
            edits = (Edit(behind(place), " --no-cache"),) if place and call.action == "install" else ()
            yield Found(
                step.instruction,
                "the index of apk stays in this layer",
                "`apk add --no-cache` fetches the index and keeps nothing of it",
                edits=edits,
            )
            break


RULE = Rule("ApkCacheKept", "warning", "apk keeps no index in a layer", _check, hadolint=("DL3019",))
