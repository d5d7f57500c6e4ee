"""Crash points without a trace in the code under test: a forked child that is killed at the n-th line of a package."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def killed_at(line: int, inside: str, action: Callable[[], None]) -> bool:
    """Run `action` in a forked child that kills itself (SIGKILL) before the `line`-th executed line of code whose file
    name contains `inside`. Returns True if it was killed, False if it had ended before. Raises AssertionError if
    `action` raised. For single-threaded actions that open all they use themselves.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.settrace(_tracer(line, inside))
            action()
            status = 0
        finally:
            os._exit(status)  # neither tests nor handlers of the parent may run twice
    _, result = os.waitpid(child, 0)
    if os.WIFSIGNALED(result):
        assert os.WTERMSIG(result) == signal.SIGKILL, f"killed by signal {os.WTERMSIG(result)}"
        return True
    assert os.waitstatus_to_exitcode(result) == 0, "the action failed"
    return False


def _tracer(line: int, inside: str) -> Callable[[FrameType, str, Any], Any]:
    left = line

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        return on_line if inside in frame.f_code.co_filename else None

    return on_call
