"""The control groups that OCI runtimes make for steps: their names, and removing those that a kill left behind."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_NAME = re.compile(r"lamina-(\d+)-\d+")


def name(number: int) -> str:
    """The name of this process's container `number`: a container's id, and its group's at the top."""
    return f"lamina-{os.getpid()}-{number}"


def remove(container: str) -> None:
    """Remove the groups of a container whose processes are dying or dead."""
    for parent in _parents():
        for _ in range(200):
            try:
                (parent / container).rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.005)
            else:
                break


def sweep() -> None:
    """Remove what lamina processes that are no more could not remove themselves."""
    for parent in _parents():
        for group in parent.glob("lamina-*-*"):
            match = _NAME.fullmatch(group.name)
            if match and not Path("/proc", match[1]).exists():
                try:
                    group.rmdir()
                except OSError:
                    continue


def _parents() -> Iterator[Path]:
    """The top of every hierarchy that is mounted (cgroups(7)): version 1, 2, or both."""
    for folder in (_MOUNT, *_MOUNT.iterdir()) if _MOUNT.is_dir() else ():
        if (folder / "cgroup.procs").exists():
            yield folder
        if (_MOUNT / "cgroup.controllers").exists():
            return
