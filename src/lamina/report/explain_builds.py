"""Past builds in words: the list of them, the heading of one, and two set side by side."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import basename

from lamina.explain.against import Against, Difference
from lamina.explain.table import Summary
from lamina.explain.taxonomy import entry_of
from lamina.oci.reference import parse_reference
from lamina.report.context import visible
from lamina.report.explain import cause_lines, reason
from lamina.report.words import age, columns, duration
from lamina.store.builds import Build


def project_name(project: str) -> str:
    """A project as people call it, without the place on this machine: `shop`, `shop (Dockerfile.bad)`, an address."""
    if not project.startswith("/"):
        return project.removesuffix(":Dockerfile")
    directory, _, rest = project.partition(":/")
    if not rest and (alone := project.rpartition(":"))[0]:
        directory, rest = alone[0], alone[2]
    name, file = basename(directory) or "/", basename(rest)
    return name if file in ("Dockerfile", "") else f"{name} ({file})"


def heading(build: Build, chosen: str, names: Sequence[str], counted: Summary | None, now: float) -> str:
    """The line above an explanation: which build this is, `chosen` how (such as `The last build here,`)."""
    told = f" ({visible(', '.join(map(_familiar, names[:3])))})" if names else ""
    result = "took" if build.result == "done" else "failed after"
    cached = f", cached {counted.cached} of {counted.total} steps" if counted is not None else ""
    came = f", from {visible(build.origin)}" if build.origin else ""
    what = f"{visible(project_name(build.project))}{told}{came}, {age(now - build.started)}"
    return f"{chosen or 'Build'} {build.id} of {what}: {result} {duration(build.seconds)}{cached}."


def build_lines(builds: Sequence[tuple[Build, Summary | None, Sequence[str]]], now: float) -> list[str]:
    """One line a build, the newest first."""
    rows = [("BUILD", "WHEN", "TOOK", "CACHED", "RESULT", "IMAGE", "PROJECT")]
    for build, counted, names in builds:
        image = ", ".join(map(_familiar, names[:2])) or (build.image or "").removeprefix("sha256:")[:12]
        cached = f"{counted.cached} of {counted.total}" if counted is not None else ""
        origin = f" from {build.origin}" if build.origin else ""
        where = visible(project_name(build.project) + origin)
        rows.append(
            (build.id, age(now - build.started), duration(build.seconds), cached, build.result, visible(image), where)
        )
    return columns(rows)


def against_lines(found: Against, *, whole: bool = False) -> list[str]:
    """What differs between two builds."""
    if found.schemas is not None:
        recipes = f"schema {found.schemas[0]} and {found.schemas[1]}, of different versions of lamina"
        return [f"Their keys follow different recipes ({recipes}): no step can be compared."]
    inputs, odd = found.inputs, found.unrepeatable
    lines = []
    if not inputs:
        key = " and the same final key" if found.same_key else ""
        lines.append(f"Nothing that goes into {_steps(found.compared)} differs: the same inputs{key}.")
    else:
        first, *others = inputs
        lines += [*_first(first), *_all(first, whole)]
        lines += _cure(first)
        if others:
            lines += ["", f"After that, {_things(len(others))} more:"]
            for one in others if whole else others[:8]:
                lines += [f"  {_short(one)}", *(_all(one, True) if whole else [])]
            if len(others) > 8 and not whole:
                lines.append(f"  and {len(others) - 8} more (--all)")
        if found.same_key:
            lines.append("Both have the same final key.")
    return lines + (_odd(odd[0]) if odd else [])


def _first(one: Difference) -> list[str]:
    return [f"The first difference is {_place(one)}", f"  {_what(one)}"]


def _place(one: Difference) -> str:
    step = one.after or one.before
    if step is None:
        return f"what stage {visible(one.stage)} stands on"
    where = "line" if one.after is not None else "the other's line"
    return f"{where} {step.span.line}: {visible(' '.join(step.text.split()))[:80]}"


def _what(one: Difference) -> str:
    if one.sort == "inserted":
        return "which the other build does not have."
    if one.sort == "removed":
        return "which this build does not have."
    return reason(one.causes[0])


def _short(one: Difference) -> str:
    return f"{_place(one)}: {_what(one)}"


def _all(one: Difference, whole: bool) -> list[str]:
    return cause_lines(one.causes, whole=whole) if one.causes else []


def _cure(one: Difference) -> list[str]:
    """What makes two machines agree; where an edit is the cause there is nothing to mend."""
    if not one.causes or not (one.causes[0].sole or one.causes[0].part == "base"):
        return []
    return [f"To avoid it: {entry_of(one.causes[0]).cure}"]


def _odd(one: Difference) -> list[str]:
    step = one.after
    told = f"line {step.span.line} ({visible(' '.join(step.text.split()))[:60]})" if step is not None else "a step"
    return [
        f"But {told} made other files of the same inputs: it is not repeatable (a date, a download, a random name).",
        "  Everything that stands on it differs from there on.",
    ]


def _familiar(name: str) -> str:
    return parse_reference(name).familiar()


def _steps(count: int) -> str:
    return f"the {count} steps" if count != 1 else "the step"


def _things(count: int) -> str:
    return f"{count} difference{'s' if count != 1 else ''}"
