"""The final key of a build: one digest over all that goes into the image, known without building anything.

A step's cache key has the *files* that it takes from another stage in it, which exist only once that stage was built.
Here the stage's own key stands for them: equal keys mean equal inputs all the way down. Two builds with other keys may
still come to the same image; two with the same key differ only where a step is not repeatable.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.digest import Digest, FramedHash, digest_of
from lamina.engine.decision import keyed
from lamina.engine.inputs import Inputs, Read, joined, reads
from lamina.engine.job import Job
from lamina.engine.reading import Reading
from lamina.keys.compute import SourceFacts
from lamina.keys.schema import SCHEMA
from lamina.oci.config import ImageConfig, RootFS, encode_config
from lamina.plan.steps import ImageRef, MetaOp, Stage, StageRef, Step


def image_key(job: Job) -> Digest:
    """The final key of a job's target. Reads the build context and fetches what ADD names by URL; no step runs.

    Raises BuildFailure as a build does up to its first step.
    """
    reading = Reading(job, {})
    keys: dict[int, Digest] = {}
    for stage in job.plan.stages:
        keys[stage.index] = _stage_key(stage, job, reading, keys)
    target = job.plan.stage(job.plan.target)
    config = ImageConfig(
        architecture=target.platform.architecture,
        os=target.platform.os,
        rootfs=RootFS("layers", ()),
        variant=target.platform.variant,
        author=target.author,
        config=target.config,
    )
    frames = FramedHash()
    frames.add("schema", str(SCHEMA))
    frames.add("image", keys[target.index])
    frames.add("config", encode_config(config))
    frames.add("epoch", "" if job.plan.epoch is None else str(job.plan.epoch))
    return frames.digest()


def _stage_key(stage: Stage, job: Job, reading: Reading, keys: Mapping[int, Digest]) -> Digest:
    key = keys[stage.base.index] if isinstance(stage.base, StageRef) else job.base_key(stage)
    for step in stage.steps:
        if not isinstance(step.op, MetaOp):
            inputs = joined([_input(read, stage, step, job, reading, keys) for read in reads(step.op)])
            wanted = keyed(step, key, None, stage.platform, inputs, job.request)
            # The key of a linked copy has nothing in it of what it stands on; the image has.
            key = digest_of(f"{key} {wanted.key.digest}".encode()) if wanted.linked else wanted.key.digest
    return key


def _input(read: Read, stage: Stage, step: Step, job: Job, reading: Reading, keys: Mapping[int, Digest]) -> Inputs:
    if isinstance(read.origin, StageRef | ImageRef):
        return Inputs((_of_layers(read, read.origin, job, keys),))
    known = job.inputs.get((stage.index, step.ordinal))
    if known is not None:
        return Inputs((known.sources[reads(step.op).index(read)],))
    return reading.outer(read, step.span)


def _of_layers(read: Read, origin: StageRef | ImageRef, job: Job, keys: Mapping[int, Digest]) -> SourceFacts:
    """What is read of another stage or image, with that one's key in place of its files."""
    frames = FramedHash()
    frames.add("from", keys[origin.index] if isinstance(origin, StageRef) else job.images[origin].digest)
    frames.add("source", str(read.source))
    frames.add("parents", "yes" if read.parents else "")
    for pattern in read.exclude:
        frames.add("exclude", pattern)
    return SourceFacts(str(read.source), (), frames.digest())
