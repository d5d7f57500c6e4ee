"""Running the stages that are not finished yet, side by side, until all are or one fails."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from lamina.engine.job import Canceled, Job
from lamina.engine.stage import StageWalk
from lamina.engine.world import Tools


def run_stages(walks: Sequence[StageWalk], job: Job, tools: Tools) -> None:
    """Finish the walks, one thread each; they wait for each other where one reads another.

    The first failure (or the user's interrupt) cancels the rest, kills running steps, and is raised after all threads
    have ended.
    """
    with ThreadPoolExecutor(max_workers=len(walks), thread_name_prefix="stage") as pool:
        running = [pool.submit(walk.go, tools) for walk in walks]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
            _raise_first(running)
        except BaseException:
            job.cancel()
            for walk in walks:
                walk.finished.set()
            tools.runner.stop()
            raise


def _raise_first(running: Sequence[Future[bool]]) -> None:
    errors = [error for future in running if future.done() and (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Canceled)):
        raise error
