"""AptListsKept: the lists of apt stay in a layer that is shipped."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import mounted, packages_of, removes
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

_LISTS = "/var/lib/apt/lists"


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        # A later RUN that takes them away comes too late; CleanupInOtherLayer tells that.
        late = max((at for at, one in enumerate(stage.steps) if removes(one.commands, _LISTS)), default=-1)
        for at, step in enumerate(stage.steps):
            calls = [packages_of(command) for command in step.commands]
            updated = any(call is not None and (call.manager, call.action) == ("apt", "update") for call in calls)
            if stage.shipped and updated and at > late and not mounted(step, _LISTS):
                yield Found(
                    step.instruction,
                    "the package lists of apt stay in this layer, some 20 to 50 MB that nothing reads",
                    f"end this RUN with `&& rm -rf {_LISTS}/*`, or mount a cache at {_LISTS}",
                )


RULE = Rule(
    "AptListsKept", "warning", "the RUN that updates the lists of apt removes them", _check, hadolint=("DL3009",)
)
