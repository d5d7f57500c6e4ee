"""Waiting for what ends by itself. No test says how long that takes: a bound is there so that a hang is an error."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds after which something hangs: many times what it takes on a machine that has too much to do.
PATIENCE = 120.0


def wait_for(condition: Callable[[], bool]) -> None:
    """Block until a condition holds; fails after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def syncing(store: Path) -> bool:
    """Whether the process is at work that a command leaves behind, to sync what it has written (`Store.settle`).

    It is there from before the command's end on.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and b"settle_main" in words[-3] and Path(words[-2].decode()).resolve() == store.resolve():
            return True
    return False


def rest(store: Path) -> Path:
    """The store, once nothing writes there any more."""
    wait_for(lambda: not syncing(store))
    return store


def copied(store: Path, root: Path) -> Path:
    """A copy of a store at `root`. While one is being synced, its index and log could be of two moments."""
    subprocess.run(["cp", "-a", f"{rest(store)}/.", root], check=True)
    return root


def removed(folder: Path) -> None:
    """Delete a folder that somebody may still write to for a moment."""

    def gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_for(gone)
