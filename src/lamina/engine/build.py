"""A whole build, from the Dockerfile's bytes to the image in the store."""

from __future__ import annotations

import time

from lamina.engine.inputs import reads
from lamina.engine.job import Job
from lamina.engine.narrator import Narrator
from lamina.engine.request import BuildRequest, BuildResult
from lamina.engine.resolve import resolve_plan
from lamina.engine.stage import StageWalk
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.oci.config import encode_config
from lamina.plan.steps import Plan
from lamina.ports import ImageEntry


def build(request: BuildRequest, world: World, reporter: Reporter) -> BuildResult:
    """Build the target stage and what it needs, put the image into the store and tag it.

    Raises BuildFailure for everything that the user can mend; KeyboardInterrupt passes through after running steps
    were killed. The store keeps what was committed before.
    """
    started = time.monotonic()
    narrator = Narrator(reporter)
    plan, images = resolve_plan(request, world.images, narrator)
    for warning in plan.warnings:
        narrator.warning(warning)
    job = Job(request, world, narrator, plan, images)
    if _reads_context(plan):
        with narrator.job("[internal] load build context"):
            world.context.entries()
    walks: dict[int, StageWalk] = {}
    for stage in plan.stages:
        walks[stage.index] = StageWalk(stage, job, walks)
    unfinished = [walk for walk in walks.values() if not walk.go(None)]
    if unfinished:
        # Imported here: a build in which everything is cached needs no threads.
        from lamina.engine.schedule import run_stages

        run_stages(unfinished, job, world.start())
    return _finish(job, walks, started)


def _finish(job: Job, walks: dict[int, StageWalk], started: float) -> BuildResult:
    request, world, narrator, plan = job.request, job.world, job.narrator, job.plan
    target = walks[plan.target]
    config = target.config()
    with narrator.job("exporting to image") as vertex:
        image_id = world.blobs.put(encode_config(config))
        world.catalog.add(ImageEntry(image_id), request.tags, world.now())
        narrator.note(vertex, f"writing image {image_id}")
        for tag in request.tags:
            narrator.note(vertex, f"naming to {tag}")
    return BuildResult(
        build=request.build,
        image_id=image_id,
        config=config,
        chain=target.chain,
        stages=tuple(walk.result() for walk in walks.values()),
        seconds=time.monotonic() - started,
        warnings=plan.warnings,
        images=job.images,
    )


def _reads_context(plan: Plan) -> bool:
    return any(
        read.origin is None and isinstance(read.source, str)
        for stage in plan.stages
        for step in stage.steps
        for read in reads(step.op)
    )
