"""CleanupInOtherLayer: what an earlier layer holds is removed; it is shipped all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.dockerfile.syntax import Add, Copy
from lamina.lint.copies import landing
from lamina.lint.packages import mounted, packages_of, removed
from lamina.lint.rule import Found, Rule
from lamina.lint.subject import Step, Subject

#: What an installer leaves: who, and where.
_LEFT = {
    "apt": ("/var/lib/apt/lists", "/var/cache/apt", "/var/cache/apt/archives"),
    "apk": ("/var/cache/apk",),
    "yum": ("/var/cache/yum", "/var/cache/dnf"),
    "dnf": ("/var/cache/dnf", "/var/cache/yum"),
    "zypper": ("/var/cache/zypp",),
}


def _check(subject: Subject) -> Iterator[Found]:
    for stage in subject.stages:
        if not stage.shipped:
            continue
        chain = subject.chain(stage)
        first = len(chain) - len(stage.steps)
        left: dict[str, Step] = {}
        for at, step in enumerate(chain):
            own = _leaves(step)
            if at >= first:
                yield from _late(step, left, own)
            left.update(own)


def _leaves(step: Step) -> dict[str, Step]:
    """The paths at which a step leaves something that is often cleaned up."""
    if isinstance(step.instruction, Copy | Add):
        place = landing(step)
        if place is None:
            return {}
        if step.dest.endswith(("/", ".")):
            names = [source.rpartition("/")[2] for source in step.sources]
            return {f"{place.rstrip('/')}/{name}": step for name in names if name and not set("*?[$") & set(name)}
        return {place: step} if place != "/" else {}
    found: dict[str, Step] = {}
    for command in step.commands:
        call = packages_of(command)
        if call is not None and call.action in ("install", "update"):
            found.update({path: step for path in _LEFT[call.manager] if not mounted(step, path)})
    for install in step.installs:
        found.update({path: step for path in install.caches if not mounted(step, path)})
    return found


def _late(step: Step, left: dict[str, Step], own: dict[str, Step]) -> Iterator[Found]:
    for path in _cleaned(step):
        # What the same RUN has made as well is rightly removed in it.
        if path in left and path not in own:
            before = left[path]
            copied = isinstance(before.instruction, Copy | Add)
            hint = (
                f"let the RUN take it without copying: --mount=type=bind,source=…,target={path}"
                if copied
                else f"remove it at the end of the RUN of line {before.line}"
            )
            message = f"{path} is removed here, but the layer of line {before.line} holds it and is shipped"
            yield Found(step.instruction, message, hint)
            return


def _cleaned(step: Step) -> Sequence[str]:
    paths = list(removed(step.commands))
    for command in step.commands:
        call = packages_of(command)
        if call is not None and call.action == "clean":
            paths += _LEFT[call.manager][-1:] if call.manager == "apt" else _LEFT[call.manager]
    return paths


RULE = Rule("CleanupInOtherLayer", "warning", "what is not to be shipped is removed in the RUN that made it", _check)
