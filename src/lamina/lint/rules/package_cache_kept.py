"""PackageCacheKept: what yum, dnf or zypper has downloaded stays in a layer that is shipped."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.lint.packages import mounted, packages_of, removes
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Subject

_CACHES = {
    "yum": ("/var/cache/yum", "yum clean all"),
    "dnf": ("/var/cache/dnf", "dnf clean all"),
    "zypper": ("/var/cache/zypp", "zypper clean"),
}


def _check(subject: Subject) -> Iterator[Found]:
    for _, step in subject.runs(shipped=True):
        calls = [call for command in step.commands if (call := packages_of(command)) is not None]
        cleaned = {call.manager for call in calls if call.action == "clean"}
        for manager, (cache, clean) in _CACHES.items():
            installs = any(call.manager == manager and call.action == "install" for call in calls)
            # On today's Fedora yum is dnf: either one's cleaning does.
            if not installs or cleaned & ({manager, "dnf"} if manager == "yum" else {manager, "yum"}):
                continue
            if not removes(step.commands, cache) and not mounted(step, cache):
                yield Found(
                    step.instruction,
                    f"what {manager} has downloaded stays in this layer",
                    f"end this RUN with `&& {clean}`, or mount a cache at {cache}",
                )


RULE = Rule(
    "PackageCacheKept",
    "warning",
    "the RUN that installs with yum, dnf or zypper cleans up behind it",
    _check,
    hadolint=("DL3032", "DL3036", "DL3040"),
)
