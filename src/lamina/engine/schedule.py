"""Running the stages that are not finished yet, side by side, until all are or one fails."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread

from lamina.engine.job import Canceled, Job
from lamina.engine.stage import StageWalk
from lamina.engine.world import Tools


def run_stages(walks: Sequence[StageWalk], job: Job, tools: Tools) -> None:
    """Finish the walks, one thread each; they wait for each other where one reads another.

    The first failure (or the user's interrupt) cancels the rest, kills running steps, and is raised after all threads
    have ended.
    """
    # Not by `concurrent.futures`, whose import takes longer than many a step.
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def finish(walk: StageWalk) -> None:
        try:
            walk.go(tools)
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)

    threads = [Thread(target=finish, args=(walk,), name=f"stage_{number}") for number, walk in enumerate(walks)]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            _raise_first(ended)
    except BaseException:
        job.cancel()
        for walk in walks:
            walk.finished.set()
        tools.runner.stop()
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _raise_first(ended: SimpleQueue[BaseException | None]) -> None:
    """Wait for one walk to end. Raises what it ended with, or, if that was only told to stop, what another did."""
    error = ended.get()
    while isinstance(error, Canceled) and not ended.empty():
        error = ended.get() or error
    if error is not None:
        raise error
