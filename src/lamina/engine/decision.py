"""Asking the cache: a step's key, the lookup, and the miss explained where it is decided."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from lamina.digest import ChainID, Digest
from lamina.engine.inputs import Inputs
from lamina.engine.job import Job
from lamina.engine.request import BuildRequest
from lamina.engine.world import World
from lamina.keys.compute import copy_key, is_linked, over, run_key, workdir_key
from lamina.keys.decide import Decision, Hit, Miss, MissCause, explain_miss
from lamina.keys.facts import telling
from lamina.keys.record import CacheKey, CacheRecord
from lamina.keys.schema import BASE, PARENT
from lamina.oci.platform import Platform
from lamina.plan.steps import CopyOp, RunOp, Stage, Step, WorkdirOp


class Keyed(Struct, frozen=True):
    """A step with both of its keys: over its parent's key and over its parent's chain. `linked` if its layer stands on
    nothing, so that it fits any parent."""

    key: CacheKey
    content_key: Digest
    inputs: Inputs = Inputs()
    linked: bool = False


def keyed(
    step: Step, parent: Digest, chain: ChainID | None, platform: Platform, inputs: Inputs, request: BuildRequest
) -> Keyed:
    """Compute the keys of a step that makes a layer."""
    match step.op:
        case RunOp() as op:
            network = op.network if op.network != "default" else request.network
            names = [name for name, _ in request.hosts]
            key = run_key(
                replace(op, network=network),
                parent,
                platform,
                inputs.sources,
                names,
                epoch=request.step_epoch is not None,
                times=request.times,
            )
        case CopyOp() as op:
            key = copy_key(op, parent, inputs.sources, times=request.times)
        case WorkdirOp() as op:
            key = workdir_key(op, parent, times=request.times)
        case _:
            raise TypeError(f"{step.keyword} makes no layer and has no key")
    linked = isinstance(step.op, CopyOp) and is_linked(step.op)
    return Keyed(key, over(key, chain or ChainID("scratch")), inputs, linked)


def look_up(world: World, wanted: Keyed, chain: ChainID | None) -> Hit | None:
    """The step's result, if the cache has one on top of exactly this stack.

    A record under the definition key whose parent came out differently then (a step that is not repeatable ran again)
    is not used: its layer was made on other files than those that lie below now.
    """
    record = world.index.find(wanted.key.digest)
    if record is not None and record.parent == chain:
        return Hit(record, "definition")
    if record is not None and wanted.linked:
        return _moved(world, wanted, record, chain)
    record = world.index.find(wanted.content_key)
    return Hit(record, "content") if record is not None and record.parent == chain else None


def _moved(world: World, wanted: Keyed, record: CacheRecord, chain: ChainID | None) -> Hit | None:
    """The layer of a COPY --link, put on another parent; None if it is gone."""
    snapshot = world.snapshots.adopt(chain, record.diff_id) if record.diff_id is not None else None
    if snapshot is None:
        return None
    return Hit(replace(record, content_key=wanted.content_key, parent=chain, result=snapshot.chain_id), "content")


def decide(
    job: Job,
    stage: Stage,
    step: Step,
    wanted: Keyed,
    chain: ChainID | None,
    missed: str,
    *,
    certain: bool = True,
) -> Decision:
    """Hit or miss, with its reasons. `missed` is the address of the step above that had to run, if any. Without
    `certain` nobody knows yet what the step will stand on, and nothing is looked up."""
    forced = job.forced(stage.label)
    hit = look_up(job.world, wanted, chain) if certain and not forced else None
    if hit is not None:
        return hit
    earlier = candidates(job, stage, step, wanted.key)
    if forced:
        return Miss((MissCause("forced"),), earlier[0] if earlier else None)
    from lamina.engine.compared import Comparing  # here, because most steps of most builds are cached

    dragged = "" if wanted.linked else missed
    comparing = Comparing(job.world, step.op, wanted.inputs, earlier)
    miss = explain_miss(wanted.key, earlier, comparing, chain=chain, parent_missed=dragged)
    if _is_strange(miss, wanted, job.request.project):
        return Miss((MissCause("first_build"),))
    return replace(miss, causes=tuple(_founded(job, cause) for cause in miss.causes))


def known(job: Job, stage: Stage, step: Step) -> Sequence[CacheRecord]:
    """What the index has of a step, those used last first; of other projects if this one has nothing."""
    return job.world.index.nearest(address(stage.label, step), job.request.project, step.text)


def candidates(job: Job, stage: Stage, step: Step, key: CacheKey | None = None) -> tuple[CacheRecord, ...]:
    """The records that a step, whose `key` may be known, can be compared with, newest first.

    A step that stands elsewhere in the stage now was moved by one that was put in: it is not what this one was.
    """
    project = job.request.project
    found = list(known(job, stage, step))
    same = job.world.index.find(key.digest) if key is not None else None
    if same is not None and same not in found:
        found.insert(0, same)  # on other files below, and perhaps long ago
    if not found and job.world.shared is not None:
        found = [replace(record, project=project) for record in job.world.shared.nearest(address(stage.label, step))]
    texts = job.texts(stage)
    # By key, for it may have been spelled otherwise once.
    moved = {record.key.digest for record in found if record.text != step.text and record.text in texts}
    return tuple(
        record
        for record in found
        if record.key.digest not in moved and (record.project == project or _has(record, key))
    )


def copied_before(
    job: Job, stage: Stage, step: Step, chain: ChainID | None, nearest: CacheRecord | None
) -> CacheRecord | None:
    """The record from whose layer a COPY takes files over, and in a build that observes their times: there the last one
    on the same stack, because steps above were observed on that; else the nearest."""
    if not job.request.observe or nearest is None:
        return nearest
    return next((record for record in candidates(job, stage, step) if record.parent == chain), nearest)


def _has(record: CacheRecord, key: CacheKey | None) -> bool:
    """Whether a step of another project stood on the same as this one, so that it may be the same step: of another
    checkout. What many projects say alike (`COPY . .`) tells nothing otherwise."""
    parent = next((part for part in key.parts if part.name == PARENT), None) if key is not None else None
    return parent is not None and parent in record.key.parts


def _is_strange(miss: Miss, wanted: Keyed, project: str) -> bool:
    """Whether most of the files are others than those of the other project's step that a miss was compared with. Two
    checkouts of the same files may differ in all modes, and in the version control's own files."""
    if miss.nearest is None or miss.nearest.project == project:
        return False
    known = sum(len(records) for records in wanted.inputs.records.values())
    return any(telling(cause.files, cause.total) * 2 > known for cause in miss.causes if cause.files)


def _founded(job: Job, cause: MissCause) -> MissCause:
    """A step that stands on something else than it did: what that was, and is, instead of digests of it."""
    if cause.part != PARENT or cause.before is None or cause.after is None:
        return cause
    before, after = (Digest(value) for value in (cause.before, cause.after))
    was, now = job.world.facts.recall(before), job.bases.get(after)
    if was is not None and now is not None:
        return replace(cause, part=BASE, before=was, after=now)
    return replace(cause, before=_shown(job, before, was), after=_shown(job, after, now))


def _shown(job: Job, key: Digest, base: Digest | None) -> str:
    if base is not None:
        return f"FROM {base}"
    record = job.world.index.find(key)
    return record.text if record is not None else key


def address(stage_label: str, step: Step) -> str:
    """The name under which a step is found again in another build of the same project."""
    return f"{stage_label}/{step.ordinal}"
