"""PipCacheKept: what pip has downloaded stays in a layer that is shipped."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import mounted, removes, settings
from lamina.lint.places import behind, only_place
from lamina.lint.rule import Edit, Found, Rule
from lamina.lint.subject import Subject
from lamina.plan.installs import install_of

_CACHE = "/root/.cache/pip"


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if not stage.shipped or "PIP_NO_CACHE_DIR" in settings(subject, stage):
            continue
        for step in stage.steps:
            if mounted(step, _CACHE) or removes(step.commands, _CACHE):
                continue
            for command in step.commands:
                found = install_of(command)
                off = any(one.startswith("PIP_NO_CACHE_DIR=") for one in command.env)
                # What stands in the image's own files is not downloaded, and not cached.
                local = found is not None and bool(found.packages or found.files) is False
                if found is None or found.tool != "pip" or not found.caches or off or local:
                    continue
                place = only_place(subject.dockerfile, step.instruction, r"\bpip[\d.]*\s+(?:install|wheel|download)\b")
                edits = (Edit(behind(place), " --no-cache-dir"),) if place else ()
                yield Found(
                    step.instruction,
                    "what pip has downloaded stays in this layer",
                    f"add --no-cache-dir, or mount a cache: --mount=type=cache,target={_CACHE}",
                    edits=edits,
                )
                break


RULE = Rule("PipCacheKept", "info", "pip keeps no downloads in a layer", _check, hadolint=("DL3042",))
