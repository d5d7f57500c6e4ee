"""What each COPY, ADD and bind mount of a Dockerfile reads from the build context. Pure.

The planner does the work, so that variables, ONBUILD and `--from` mean what they mean in a build. Base images are not
asked: their configurations count as empty, and a variable that only they can set is left in the path as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.dockerfile import syntax
from lamina.explain.context import is_below
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.select import has_wildcard, select
from lamina.plan.offline import plain_variables, plan_offline
from lamina.plan.steps import BindMount, CopyOp, PlanOptions, RunOp, Step


class Reading(Struct, frozen=True):
    """One instruction that reads the context. `entries` are the records that it selects, each once, by path; `missing`
    the sources without wildcards that select nothing, `unknown` the variables whose values only the base image has.
    `named` are the paths that its sources name or match, "" for the whole context."""

    stage: str
    span: Span
    keyword: str
    text: str
    entries: tuple[FileRecord, ...]
    named: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """How many regular files it reads."""
        return sum(record.kind == "file" for record in self.entries)

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(record.size for record in self.entries)


class Taking(Struct, frozen=True):
    """A reading that takes a path; `part` if the path is a directory of which it does not take all."""

    reading: Reading
    part: bool


def readings(dockerfile: syntax.Dockerfile, options: PlanOptions, records: Sequence[FileRecord]) -> tuple[Reading, ...]:
    """The instructions that read the context, in the file's order, and what they select among `records` (sorted by
    path): those that `options.target` needs, or those of all stages if it is empty.

    Raises BuildFailure `dockerfile-…` for a file that cannot be planned, `context-bad-ignore-pattern` for an --exclude.
    """
    steps = _steps(dockerfile, options)
    names = plain_variables(dockerfile)
    found = (_reading(label, step, records, names) for label, step in steps)
    return tuple(reading for reading in found if reading is not None)


def taking(found: Sequence[Reading], path: str, records: Sequence[FileRecord]) -> tuple[Taking, ...]:
    """The readings that take `path`, or of a directory something below it; `records` are what they select from."""
    below = {record.path for record in records if is_below(record.path, path)}
    result = []
    for reading in found:
        taken = {entry.path for entry in reading.entries} & below
        if taken:
            result.append(Taking(reading, taken != below))
    return tuple(result)


def _steps(dockerfile: syntax.Dockerfile, options: PlanOptions) -> list[tuple[str, Step]]:
    """The steps of the wanted stages with their stage's label."""
    stages = [one for one in dockerfile.instructions if isinstance(one, syntax.From)]
    targets = [one.name or str(index) for index, one in enumerate(stages)]
    found: dict[tuple[int, int], tuple[str, Step]] = {}
    for target in [options.target] if options.target or not stages else targets:
        plan = plan_offline(dockerfile, replace(options, target=target))
        for stage in plan.stages:
            found.update({(stage.index, step.ordinal): (stage.label, step) for step in stage.steps})
    return [found[place] for place in sorted(found)]


def _reading(label: str, step: Step, records: Sequence[FileRecord], names: Sequence[str]) -> Reading | None:
    sources = tuple(_sources(step))
    if not sources:
        return None
    selected: dict[str, FileRecord] = {}
    named: list[str] = []
    missing: list[str] = []
    for source in sources:
        found = _selected(step, source, records)
        named += [one.base for one in found]
        selected.update({record.path: record for one in found for record in one.files})
        if not found and not has_wildcard(source):
            missing.append(source)
    unknown = tuple(name for name in names if any(f"${name}" in source for source in missing))
    entries = tuple(selected[path] for path in sorted(selected))
    return Reading(label, step.span, step.keyword, step.text, entries, tuple(named), tuple(missing), unknown)


def _sources(step: Step) -> Iterator[str]:
    match step.op:
        case CopyOp(sources=sources, origin=None):
            yield from (source for source in sources if isinstance(source, str))
        case RunOp(mounts=mounts):
            yield from (mount.source for mount in mounts if isinstance(mount, BindMount) and mount.origin is None)


def _selected(step: Step, source: str, records: Sequence[FileRecord]) -> tuple[Selection, ...]:
    op = step.op
    if isinstance(op, CopyOp):
        return select(records, source, span=step.span, parents=op.parents, exclude=op.exclude)
    return select(records, source, span=step.span)
