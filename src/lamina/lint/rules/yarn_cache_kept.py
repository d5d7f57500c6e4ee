"""YarnCacheKept: what yarn has downloaded stays in a layer that is shipped."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import mounted, removes
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs(shipped=True):
        for found in step.installs:
            if found.tool != "yarn":
                continue
            cleaned = any(one.program == "yarn" and one.words[1:3] == ("cache", "clean") for one in step.commands)
            gone = any(mounted(step, cache) or removes(step.commands, cache) for cache in found.caches)
            if not cleaned and not gone:
                yield Found(
                    step.instruction,
                    "what yarn has downloaded stays in this layer",
                    f"end this RUN with `&& yarn cache clean`, or mount a cache at {found.caches[0]}",
                )
                break


RULE = Rule("YarnCacheKept", "info", "yarn keeps no downloads in a layer", _check, hadolint=("DL3060",))
