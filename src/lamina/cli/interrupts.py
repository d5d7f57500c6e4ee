"""Ctrl-C that is prompt: a thread that waits for a registry keeps nobody waiting.

Python raises KeyboardInterrupt in the main thread, which then waits for its threads to end. Those that wait for a
registry are cut here. Where that does not help (a name server, the library for buckets), the process ends itself: the
store stands that, as it stands a kill.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

#: Seconds that a command has for ending in order.
GRACE = 1.5
STATUS = 130


class _State:
    """Whether the command is still running, as the thread of an interrupt sees it."""

    running = False


@contextmanager
def prompt() -> Iterator[None]:
    """Make the user's interrupt end the block soon, if it is this thread that hears of it; KeyboardInterrupt passes."""
    ours = False
    with suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupted)
            ours = _State.running = True
    try:
        yield
    finally:
        if ours:
            _State.running = False
            signal.signal(signal.SIGINT, signal.default_int_handler)


def say() -> None:
    """Tell the user that it was heard."""
    with suppress(OSError, ValueError):
        print("\ninterrupted", file=sys.stderr, flush=True)


def _interrupted(number: int, frame: FrameType | None) -> None:
    # Nothing that takes a lock: the main thread may hold it. `threading` takes one for a new thread.
    _thread.start_new_thread(_end, ())
    raise KeyboardInterrupt


def _end() -> None:
    wires = sys.modules.get("lamina.registry.wires")
    if wires is not None:
        wires.cut_all()
    time.sleep(GRACE)
    if _State.running:
        say()
        os._exit(STATUS)
