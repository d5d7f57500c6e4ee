"""Finding paths inside a step's root file system without ever leaving it."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque

from msgspec import Struct

from lamina.diagnostics import BuildFailure

#: As many links as the kernel follows (path_resolution(7)).
_MAX_LINKS = 40


class Place(Struct, frozen=True):
    """Where a path leads: `path` is absolute in the root and free of links; `mode` its st_mode, None if it is missing.

    `existing` counts the leading components of `path` that are there.
    """

    path: str
    mode: int | None
    existing: int

    @property
    def is_dir(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)


def locate(root: int, path: str, cwd: str = "/") -> Place:
    """Resolve `path` inside the directory `root` (a descriptor), links and `..` included, as chroot(2) would.

    Raises BuildFailure `runtime-bad-path` for a loop of links or a file where a directory must be.
    """
    pending = deque(part for part in f"{cwd}/{path}".split("/")) if not path.startswith("/") else deque(path.split("/"))
    done: list[str] = []
    missing = 0
    mode: int | None = stat.S_IFDIR
    links = 0
    while pending:
        part = pending.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            if done:
                done.pop()
            missing = max(0, missing - 1)
            mode = None if missing else stat.S_IFDIR
            continue
        if mode is not None and not stat.S_ISDIR(mode):
            raise BuildFailure(
                "runtime-bad-path", f"{path} leads through a file that is not a directory", cause="/".join(done)
            )
        here = "/".join([*done, part])
        mode = None if missing else _mode(root, here)
        if mode is None:
            missing += 1
        elif stat.S_ISLNK(mode):
            links += 1
            if links > _MAX_LINKS:
                raise BuildFailure("runtime-bad-path", f"{path} leads through too many symbolic links", cause=here)
            destination = os.readlink(here, dir_fd=root)
            if destination.startswith("/"):
                done.clear()
            pending.extendleft(reversed(destination.split("/")))
            mode = stat.S_IFDIR
            continue
        done.append(part)
    return Place("/" + "/".join(done), mode, len(done) - missing)


def _mode(root: int, path: str) -> int | None:
    """lstat's mode; every component but the last is known to be a real directory."""
    try:
        return os.lstat(path, dir_fd=root).st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def find_program(root: int, name: str, search: str, cwd: str) -> bool:
    """Whether execvp(3) would find an executable file called `name` with `search` as PATH."""
    candidates = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in search.split(":")]
    for candidate in candidates:
        try:
            place = locate(root, candidate, cwd)
        except BuildFailure:
            continue
        if place.mode is not None and stat.S_ISREG(place.mode) and place.mode & 0o111:
            return True
    return False
