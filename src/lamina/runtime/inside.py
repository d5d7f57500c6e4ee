"""Finding paths inside a step's root file system without ever leaving it."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from lamina.diagnostics import BuildFailure

#: As many links as the kernel follows (path_resolution(7)).
_MAX_LINKS = 40


class Place(Struct, frozen=True):
    """Where a path leads: `path` is absolute in the root and free of links; `mode` its st_mode, None if it is missing.

    `existing` counts the leading components of `path` that are there, and not for the sake of a mount alone.
    """

    path: str
    mode: int | None
    existing: int

    @property
    def is_dir(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)


class Cover(Struct, frozen=True):
    """What a mount lays over a place: its own st_mode, and a descriptor to look into (None: nothing is inside).

    `stub` for a directory that is only there for a mount point in it.
    """

    mode: int
    descriptor: int | None = None
    stub: bool = False


#: Mounts that are yet to be made, and the way to them, by the absolute path, free of links, that each will be at.
Covers = Mapping[str, Cover]
_NONE: Covers = {}


def locate(root: int, path: str, cwd: str = "/", covers: Covers = _NONE) -> Place:
    """Resolve `path` inside the directory `root` (a descriptor), links and `..` included, as chroot(2) would if all
    the `covers` were mounted.

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
        mode = None if missing else _mode(root, here, covers)
        if mode is None:
            missing += 1
        elif stat.S_ISLNK(mode):
            links += 1
            if links > _MAX_LINKS:
                raise BuildFailure("runtime-bad-path", f"{path} leads through too many symbolic links", cause=here)
            destination = _link(root, here, covers)
            if destination.startswith("/"):
                done.clear()
            pending.extendleft(reversed(destination.split("/")))
            mode = stat.S_IFDIR
            continue
        done.append(part)
    existing = len(done) - missing
    while existing and (cover := covers.get("/" + "/".join(done[:existing]))) is not None and cover.stub:
        existing -= 1
    return Place("/" + "/".join(done), mode, existing)


def covering(path: str, covers: Covers) -> str | None:
    """The innermost cover that the absolute `path` is at or below."""
    while covers and path:
        if path in covers:
            return path
        path = path.rpartition("/")[0]
    return None


def _mode(root: int, path: str, covers: Covers) -> int | None:
    """lstat's mode; every component but the last is known to be a real directory."""
    at = covering(f"/{path}", covers)
    if at is not None:
        cover = covers[at]
        path = path[len(at) :]
        if not path:
            return cover.mode
        if cover.descriptor is None:
            return None
        root = cover.descriptor
    try:
        return os.lstat(path, dir_fd=root).st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def _link(root: int, path: str, covers: Covers) -> str:
    at = covering(f"/{path}", covers)
    descriptor = None if at is None else covers[at].descriptor
    return os.readlink(path, dir_fd=root) if at is None else os.readlink(path[len(at) :], dir_fd=descriptor)


def find_program(root: int, name: str, search: str, cwd: str, covers: Covers = _NONE) -> bool:
    """Whether execvp(3) would find an executable file called `name` with `search` as PATH."""
    candidates = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in search.split(":")]
    for candidate in candidates:
        try:
            place = locate(root, candidate, cwd, covers)
        except BuildFailure:
            continue
        if place.mode is not None and stat.S_ISREG(place.mode) and place.mode & 0o111:
            return True
    return False
