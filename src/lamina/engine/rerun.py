"""Running a cached RUN again, to see whether it comes out the same. No Dockerfile and no context: all that a RUN does
stands in its record's key, and what it ran on is in the store. Nothing is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Span
from lamina.digest import Digest
from lamina.engine import execute
from lamina.engine.job import Job
from lamina.engine.narrator import Narrator
from lamina.engine.reading import Outside
from lamina.engine.request import BuildRequest
from lamina.engine.world import Tools, World
from lamina.events import Reporter
from lamina.keys.compute import run_key
from lamina.keys.record import CacheRecord
from lamina.keys.schema import PARENT, PLATFORM, SCHEMA, TIMES
from lamina.oci.platform import Platform, parse_platform
from lamina.plan.running import SCRIPTS
from lamina.plan.steps import Inline, Plan, RunOp, Step, TmpfsMount

#: What a comparison of two layer directories gives.
T = TypeVar("T")
#: Compares the layer in the store with the new one; None if nothing but times differs.
Compare = Callable[[Path, Path], T | None]

Verdict = Literal["repeatable", "differs", "failed", "not tried"]

_LINUX = Platform("linux", "")


class Attempt(Struct, Generic[T], frozen=True):
    """What came of running a step again. `why` says what made it fail, or why it was not tried; `output` is the end of
    what a failed one wrote; `found` is what differs."""

    verdict: Verdict
    why: str = ""
    output: tuple[str, ...] = ()
    found: T | None = None


class Unrepeatable(Exception):
    """A record does not hold all that its step would need; says what."""


def newest(records: Iterable[CacheRecord], text: str = "") -> tuple[CacheRecord, ...]:
    """The last record of each RUN whose instruction contains `text`: of each project, stage, platform and instruction.
    Of several projects that share a step one is taken. `records` are in the order in which they were made.
    """
    steps: dict[tuple[str, ...], CacheRecord] = {}
    for record in records:
        if record.key.kind == "run" and text in record.text:
            stage = record.address.rpartition("/")[0]
            step = (record.project, stage, _part(record, PLATFORM), record.text)
            steps.pop(step, None)  # so that the order is that of the newest ones
            steps[step] = record
    return tuple({record.content_key: record for record in steps.values()}.values())


def operation(record: CacheRecord) -> tuple[RunOp, Platform]:
    """What a cached RUN does, from the parts of its key. Raises Unrepeatable."""
    if record.key.schema != SCHEMA:
        raise _of_another_version()
    named = {part.name: part.value for part in record.key.parts}
    _check(named)
    argv = tuple(msgspec.json.decode(named["command"], type=list[str]))
    script = named.get("script")
    op = RunOp(
        argv=argv,
        env=tuple((name[4:], value) for name, value in named.items() if name.startswith("env ")),
        args=(),
        user=named["user"],
        cwd=named["directory"],
        network=named["network"],
        security=named["security"],
        mounts=tuple(_tmpfs(value) for name, value in named.items() if name.startswith("mount ")),
        script=None if script is None else Inline(argv[-1].removeprefix(f"{SCRIPTS}/"), script),
        hostname=named.get("hostname", ""),
    )
    platform = parse_platform(named[PLATFORM], default=_LINUX)
    times = int(named[TIMES]) if TIMES in named else None
    again = run_key(op, Digest(named[PARENT]), platform, epoch="epoch" in named, times=times)
    if again.digest != record.key.digest:
        raise _of_another_version()
    return op, platform


def rerun(record: CacheRecord, request: BuildRequest, world: World, tools: Tools, compare: Compare[T]) -> Attempt[T]:
    """Run the step of a record again on what it ran on, and compare. `request` is for what enters no key: certificates,
    proxies, and the SOURCE_DATE_EPOCH that a step is offered if it was offered one.

    Raises BuildFailure for what keeps every step from running.
    """
    try:
        op, platform = operation(record)
        offered = "epoch" in {part.name for part in record.key.parts}
        if offered and _part(record, TIMES):
            request = replace(request, step_epoch=int(_part(record, TIMES)))
        if offered and request.step_epoch is None:
            raise Unrepeatable("the SOURCE_DATE_EPOCH of its build is not known any more")
        before = world.snapshots.get(record.result) if record.result is not None else None
        if before is None:
            raise Unrepeatable("its layer is no longer in the store")
        job = _job(request if offered else replace(request, step_epoch=None), world)
        step = Step(0, 0, "", "RUN", record.text, op, None, Span("", 0, 0, 0, 0))
        tail = execute.Tail(lambda stream, data: None)
        with world.snapshots.begin(record.parent) as work:
            execute.run(op, step, job, tools, work, Outside(), platform.architecture, tail)
            if tools.layers.diff(work.upper).files == record.files:
                return Attempt("repeatable")
            found = compare(before.layer, work.upper)
            return Attempt("repeatable") if found is None else Attempt("differs", found=found)
    except Unrepeatable as reason:
        return Attempt("not tried", str(reason))
    except BuildFailure as failure:
        return _failed(failure)


def _of_another_version() -> Unrepeatable:
    return Unrepeatable("its record is of another version of lamina")


def _failed(failure: BuildFailure) -> Attempt[T]:
    told = failure.diagnostic
    if told.reference == "store-snapshot-missing":
        return Attempt("not tried", "what it ran on is no longer in the store")
    if told.reference == "runtime-foreign-platform":
        return Attempt("not tried", told.message)
    if not told.reference.startswith("step-"):
        raise failure
    # `'RUN …' did not succeed: exit status 1`: the instruction is told anyway.
    why = told.message.rpartition("did not succeed: ")[2]
    return Attempt("failed", why, told.excerpt)


def _check(named: Mapping[str, str]) -> None:
    """Raises Unrepeatable for what a key only says that it was there."""
    for name, value in named.items():
        kind = value.partition(" ")[0]
        if name.startswith("mount ") and kind != "tmpfs":
            raise Unrepeatable(f"mounts {kind} at {name.partition(' ')[2]}")
        if name.startswith("host "):
            raise Unrepeatable(f"was given the address of {value}")
    if named["security"] != "sandbox":
        raise Unrepeatable(f"runs with security={named['security']}")


def _tmpfs(shape: str) -> TmpfsMount:
    target, _, size = shape.partition(" ")[2].rpartition(" ")
    return TmpfsMount(target, None if size == "None" else int(size))


def _job(request: BuildRequest, world: World) -> Job:
    return Job(request, world, Narrator(Reporter()), Plan((), 0, ()), {})


def _part(record: CacheRecord, name: str) -> str:
    return next((part.value for part in record.key.parts if part.name == name), "")
