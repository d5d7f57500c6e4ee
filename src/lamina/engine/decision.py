"""Asking the cache: a step's key, the lookup, and the miss explained where it is decided."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from lamina.digest import ChainID, Digest
from lamina.engine.inputs import Inputs
from lamina.engine.request import BuildRequest
from lamina.engine.world import World
from lamina.keys.compute import copy_key, is_linked, over, run_key, workdir_key
from lamina.keys.decide import Decision, Hit, Miss, MissCause, explain_miss
from lamina.keys.facts import FileChange, compare_trees
from lamina.keys.filetree import FileRecord
from lamina.keys.record import CacheKey, CacheRecord
from lamina.oci.platform import Platform
from lamina.plan.steps import CopyOp, RunOp, Step, WorkdirOp

_path = attrgetter("path")


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
            key = run_key(replace(op, network=network), parent, platform, inputs.sources, names)
        case CopyOp() as op:
            key = copy_key(op, parent, inputs.sources)
        case WorkdirOp() as op:
            key = workdir_key(op, parent)
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
    world: World,
    wanted: Keyed,
    chain: ChainID | None,
    *,
    address: str,
    text: str,
    project: str,
    missed: str,
    forced: bool,
) -> Decision:
    """Hit or miss, with its reasons. `address` and `text` say what to compare a miss with; `missed` is the
    address of the step above that had to run, if any."""
    if forced:
        return Miss((MissCause("forced"),))
    hit = look_up(world, wanted, chain)
    if hit is not None:
        return hit
    candidates = world.index.nearest(address, project, text)
    dragged = "" if wanted.linked else missed
    changes = _Changes(world, wanted.inputs)
    return explain_miss(wanted.key, candidates, changes, chain=chain, parent_missed=dragged)


class _Changes:
    """Compares two file lists by their digests: of this build's inputs, or of the stored facts of an earlier one."""

    def __init__(self, world: World, inputs: Inputs) -> None:
        self._world = world
        self._inputs = inputs

    def __call__(self, before: Digest, after: Digest) -> tuple[FileChange, ...]:
        old, new = self._records(before), self._records(after)
        # The records of several directories that one pattern matched follow each other, each list in its own order.
        return () if old is None or new is None else compare_trees(sorted(old, key=_path), sorted(new, key=_path))

    def _records(self, digest: Digest) -> Sequence[FileRecord] | None:
        return self._inputs.records.get(digest) or self._world.facts.get(digest)


def address(stage_label: str, step: Step) -> str:
    """The name under which a step is found again in another build of the same project."""
    return f"{stage_label}/{step.ordinal}"
