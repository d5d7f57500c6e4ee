"""A build with its log file, and its story kept, whether it succeeds or not."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.engine.build import build
from lamina.engine.request import BuildRequest, BuildResult
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.explain.story import tell
from lamina.keys.outcome import StageResult
from lamina.oci.platform import Platform
from lamina.report.logfile import LogFile
from lamina.report.plain import PlainReporter
from lamina.report.tee import Tee
from lamina.store.builds import Build
from lamina.workshop.wire import Workshop


def build_for(
    platform: Platform, request: BuildRequest, shop: Workshop, world: World, reporter: Reporter
) -> BuildResult:
    """The build for one platform, with an identity of its own."""
    identity = f"{int(time.time()):x}{os.urandom(3).hex()}"
    options = replace(request.options, platform=platform)
    return _logged(replace(request, build=identity, options=options), shop, world, reporter)


def _logged(request: BuildRequest, shop: Workshop, world: World, reporter: Reporter) -> BuildResult:
    log = shop.store.layout.logs / f"{request.build}.log"
    started, result = time.time(), None
    stages: list[StageResult] = []
    try:
        with LogFile(log) as stream:
            result = build(request, world, Tee(reporter, PlainReporter(stream)), stages.extend)
        return result
    except BuildFailure as failure:
        if failure.diagnostic.reference == "step-failed":
            raise failure.with_log(str(log)) from None
        raise
    finally:
        story = tell(stages, result.key if result else None)
        keys = [step.key for step in story.steps() if step.key is not None]
        row = Build(
            id=request.build,
            project=request.project,
            started=started,
            seconds=time.time() - started,
            result="done" if result else "failed",
            image=result.image_id if result else None,
            log=log.name,
            facts=tuple({part.files: None for key in keys for part in key.parts if part.files is not None}),
            key=story.key,
        )
        # What a full disk says here must not stand before what the build said.
        with suppress(BuildFailure):
            shop.store.builds.add(row, story)
