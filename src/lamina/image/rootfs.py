"""A read-only view of a stack of overlayfs-format layer directories, without mounting anything.

The rules are the kernel's (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories"): a character
device 0:0 hides the name below it, a directory whose xattr `<namespace>.overlay.opaque` is `y` hides the directories
below it, directories of one name merge, and of anything else the topmost wins. The roots of the layers always merge:
the kernel looks at no opaque mark there.

Names come from images and are hostile. Every real path here is a layer's directory plus names that were each seen by
`lstat` to be real directories, so no link of an image is ever followed by the kernel; links are resolved in Python.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO

from msgspec import Struct

MAX_LINKS = 40  # path_resolution(7): the kernel's own limit


class Node(Struct, frozen=True):
    """One entry of the merged tree. `real` is the topmost real path, which gives its attributes; `dirs` are all the
    real directories that merge into it, topmost first, and `()` for anything but a directory."""

    real: str
    stat: os.stat_result
    dirs: tuple[str, ...] = ()

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.stat.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.stat.st_mode)


class Found(Struct, frozen=True):
    """Where a path leads: `path` is canonical (no links, relative to the root, "" for it), `node` None if missing."""

    path: str
    node: Node | None


def is_whiteout(info: os.stat_result) -> bool:
    """Whether this is overlayfs' mark of a deleted name: a character device 0:0."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


class Rootfs:
    """The merged tree of `layers`, topmost first. It reads the layers anew at every call and keeps nothing open.

    `namespace` is `trusted`, or `user` where overlayfs is mounted with `userxattr` (rootless).
    """

    def __init__(self, layers: Sequence[os.PathLike[str] | str], namespace: str = "trusted") -> None:
        self.dirs = tuple(os.fspath(layer) for layer in layers)
        self._opaque = f"{namespace}.overlay.opaque"
        self._whiteout = f"{namespace}.overlay.whiteout"

    def mark(self, directory: str | int) -> bytes:
        """The opaque mark of a real directory: `y` is opaque, `x` says that it may hold whiteouts as xattrs."""
        try:
            return os.getxattr(directory, self._opaque)
        except OSError:
            return b""

    def _is_marked_whiteout(self, directory: str, real: str, info: os.stat_result) -> bool:
        """The other form of a whiteout (Linux 6.7): an empty file with an xattr, in a directory marked `x`."""
        if info.st_size or not stat.S_ISREG(info.st_mode) or self.mark(directory) != b"x":
            return False
        try:
            os.getxattr(real, self._whiteout, follow_symlinks=False)
        except OSError:
            return False
        return True

    def child(self, dirs: Sequence[str], name: str) -> Node | None:
        """The entry `name` of a merged directory. `name` must be one component, not `.` or `..`."""
        merged: list[str] = []
        top: os.stat_result | None = None
        for directory in dirs:
            real = f"{directory}/{name}"
            try:
                info = os.lstat(real)
            except FileNotFoundError:
                continue
            if is_whiteout(info) or self._is_marked_whiteout(directory, real, info):
                break
            if not stat.S_ISDIR(info.st_mode):
                if top is None:
                    return Node(real, info)
                break
            top = top or info
            merged.append(real)
            if self.mark(real) == b"y":
                break
        return None if top is None else Node(merged[0], top, tuple(merged))

    def listing(self, dirs: Sequence[str]) -> dict[str, bool]:
        """The names in a merged directory, in no order; the value says whether it is a directory."""
        seen: dict[str, bool | None] = {}
        for directory in dirs:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name in seen:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        seen[entry.name] = True
                    elif entry.is_symlink():
                        seen[entry.name] = False
                    else:
                        seen[entry.name] = None if self._hides(directory, entry) else False
        return {name: is_dir for name, is_dir in seen.items() if is_dir is not None}

    def _hides(self, directory: str, entry: os.DirEntry[str]) -> bool:
        if entry.is_file(follow_symlinks=False) and self.mark(directory) != b"x":
            return False  # saves an lstat of every plain file
        info = entry.stat(follow_symlinks=False)
        return is_whiteout(info) or self._is_marked_whiteout(directory, entry.path, info)

    def walk(self, path: str, *, follow: bool = True, within: str = "") -> Found:
        """Resolve a path as a process would that is chrooted to the canonical directory `within`: absolute links
        start there again, `..` stops there. `follow` says what happens to a link in the last place. A missing
        component ends the look-ups, but not the walk: the rest is kept in the resulting path.

        Raises NotADirectoryError (with the path in the root), and OSError ELOOP after 40 links.
        """
        names: list[str] = within.split("/") if within else []
        nodes: list[Node | None] = [Node("/", os.lstat("/"), self.dirs)]
        for name in names:
            above = nodes[-1]
            nodes.append(self.child(above.dirs, name) if above else None)
        floor, links = len(names), 0
        rest = path.split("/")[::-1]
        while rest:
            name = rest.pop()
            if name in ("", "."):
                continue
            top = nodes[-1]
            if top is not None and not top.is_dir:
                raise NotADirectoryError(errno.ENOTDIR, "not a directory", "/" + "/".join(names))
            if name == "..":
                if len(names) > floor:
                    del names[-1], nodes[-1]
                continue
            node = self.child(top.dirs, name) if top else None
            if node is not None and node.is_link and (follow or rest):
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, "too many levels of symbolic links", path)
                target = os.readlink(node.real)
                if target.startswith("/"):
                    del names[floor:], nodes[floor + 1 :]
                rest.extend(target.split("/")[::-1])
                continue
            names.append(name)
            nodes.append(node)
        return Found("/".join(names), nodes[-1])

    def open(self, node: Node) -> BinaryIO:
        """A regular file's bytes, unbuffered. Raises OSError if it is none."""
        if not node.is_file:
            raise OSError(errno.EINVAL, "not a regular file", node.real)
        return os.fdopen(os.open(node.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0)
