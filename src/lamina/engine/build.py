"""A whole build, from the Dockerfile's bytes to the image in the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lamina.engine.identity import image_key
from lamina.engine.inputs import reads
from lamina.engine.job import Job, LayerLost, chain_of
from lamina.engine.request import BuildRequest, BuildResult
from lamina.engine.resolve import job_of
from lamina.engine.stage import StageWalk
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.keys.outcome import StageResult
from lamina.oci.config import decode_config, encode_config
from lamina.plan.steps import Plan
from lamina.ports.images import ImageEntry

if TYPE_CHECKING:
    from lamina.engine.sharing import Sharing

#: So often a build is begun because a layer is not to be had: what is not is forgotten. The last time the shared cache
#: is left alone.
_ATTEMPTS = 4


def build(
    request: BuildRequest,
    world: World,
    reporter: Reporter,
    ended: Callable[[Sequence[StageResult]], None] = lambda _: None,
) -> BuildResult:
    """Build the target stage and what it needs, put the image into the store and tag it.

    `ended` is called at the end, whether the build succeeded or not, with what became of the steps. Raises BuildFailure
    for everything that the user can mend; KeyboardInterrupt passes through after running steps were killed. The store
    keeps what was committed before.
    """
    started = time.monotonic()
    job = job_of(request, world, reporter)
    plan, narrator = job.plan, job.narrator
    for warning in plan.warnings:
        narrator.warning(warning)
    if _reads_context(plan):
        with narrator.job("[internal] load build context"):
            world.context.entries()
    if request.reuse:
        made = _made_before(job, started)
        if made is not None:
            return made
    for left in reversed(range(_ATTEMPTS)):
        try:
            return _build(job, started, ended, _sharing(world) if left else None)
        except LayerLost as lost:
            failure = lost.failure
        if left:
            told = f"the build begins anew, for a cached layer is not to be had: {failure.diagnostic.message}"
            narrator.warning(replace(failure.diagnostic, severity="warning", message=told))
            job = Job(request, world, narrator, plan, job.images)
    ended(())
    raise failure


def _sharing(world: World) -> Sharing | None:
    if world.shared is None:
        return None
    from lamina.engine.sharing import Sharing  # here, because most builds have no shared cache

    return Sharing(world.shared)


def _build(
    job: Job, started: float, ended: Callable[[Sequence[StageResult]], None], sharing: Sharing | None
) -> BuildResult:
    world = job.world
    walks: dict[int, StageWalk] = {}
    for stage in job.plan.stages:
        walks[stage.index] = StageWalk(stage, job, walks, sharing)
    try:
        unfinished = [walk for walk in walks.values() if not walk.go(None)]
        if unfinished:
            # Imported here: a build in which everything is cached needs no threads.
            from lamina.engine.schedule import run_stages

            run_stages(unfinished, job, world.start())
        if not job.request.lazy and walks[job.plan.target].lacks_layers():
            if not unfinished:
                world.start()
            walks[job.plan.target].materialize(unpacked=False)
        result = _finish(job, walks, started)
    except LayerLost:
        raise  # this was not the end
    except BaseException:
        ended([walk.result() for walk in walks.values()])
        raise
    ended([walk.result() for walk in walks.values()])
    return result


def _made_before(job: Job, started: float) -> BuildResult | None:
    """The image that was built from the same inputs before, under the names that are wanted now."""
    request, world = job.request, job.world
    key = image_key(job)
    made = world.catalog.made(key)
    if made is None:
        return None
    config = decode_config(world.blobs.open(made.image_id).read())
    with job.narrator.job(f"[internal] reuse {made.image_id}"):
        world.catalog.add(made, request.tags, world.now())
    return BuildResult(
        build=request.build,
        image_id=made.image_id,
        config=config,
        chain=chain_of(config),
        stages=(),
        seconds=time.monotonic() - started,
        warnings=job.plan.warnings,
        images=job.images,
        key=key,
        reused=True,
    )


def _finish(job: Job, walks: dict[int, StageWalk], started: float) -> BuildResult:
    request, world, narrator, plan = job.request, job.world, job.narrator, job.plan
    target = walks[plan.target]
    config = target.config()
    with narrator.job("exporting to image") as vertex:
        image_id = world.blobs.put(encode_config(config))
        # Without layers it gets its names from who sends it, and so knows where they can be had from.
        named = () if target.lacks_layers() else request.tags
        world.catalog.add(ImageEntry(image_id), named, world.now())
        narrator.note(vertex, f"writing image {image_id}")
        for tag in request.tags:
            narrator.note(vertex, f"naming to {tag}")
        key = image_key(job)
        world.catalog.note(key, image_id)
    return BuildResult(
        build=request.build,
        image_id=image_id,
        config=config,
        chain=target.chain,
        stages=tuple(walk.result() for walk in walks.values()),
        seconds=time.monotonic() - started,
        warnings=plan.warnings,
        images=job.images,
        key=key,
    )


def _reads_context(plan: Plan) -> bool:
    return any(
        read.origin is None and isinstance(read.source, str)
        for stage in plan.stages
        for step in stage.steps
        for read in reads(step.op)
    )
