"""Writing directories on top of a stack of layers, as overlayfs would write them.

A directory that lies only in lower layers is copied up before anything is put into it: its entry in the upper
directory takes the mode, owner, times and xattrs that the stack shows, because the merged directory takes them from
there. A new directory in the place of a deleted one is made opaque, or the deleted content would shine through.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from weakref import WeakSet

from msgspec import Struct

from lamina.image.rootfs import Node, Rootfs, is_whiteout
from lamina.ports.storing import Workspace

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN = 64  # far below the usual limit of 1024 descriptors, far above the depth of usual trees

_LONGEST_PATH = 4094  # PATH_MAX without the first slash and the zero byte


class NewDirectory(Struct, frozen=True):
    """What a directory that nobody described gets: the implicit parents of a destination, WORKDIR."""

    uid: int
    gid: int
    mode: int = 0o755


class Directory:
    """An open directory of the upper layer. `path` is its canonical path in the root, `lower` the real directories of
    the layers below that merge into it. It lives as long as somebody refers to it."""

    __slots__ = ("__weakref__", "_below", "_listing", "fd", "lower", "path")

    def __init__(self, fd: int, path: str, lower: tuple[str, ...], below: Rootfs) -> None:
        self.fd, self.path, self.lower = fd, path, lower
        self._below = below
        self._listing: dict[str, bool] | None = None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the descriptor; harmless if done before."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def lower_names(self) -> dict[str, bool]:
        """What the layers below show here, and whether it is a directory; listed once, as those never change."""
        if self._listing is None:
            self._listing = self._below.listing(self.lower)
        return self._listing

    def lstat(self, name: str) -> os.stat_result | None:
        """What the upper layer itself holds at `name`, which may be a whiteout."""
        try:
            return os.lstat(name, dir_fd=self.fd)
        except FileNotFoundError:
            return None

    def is_free_below(self, name: str) -> bool:
        """Whether the layers below have no directory at `name`, which nothing else may hide."""
        return not self.lower or not self.lower_names.get(name, False)

    def make_way(self, name: str) -> bool:
        """Let a non-directory be created at `name`: another non-directory is removed. Says whether there was one.

        Raises IsADirectoryError (with the path in the root) if the merged tree has a directory there.
        """
        mine = self.lstat(name)
        if mine is None and not self.lower_names.get(name, False):
            return False
        if mine is None or stat.S_ISDIR(mine.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory", self.child_path(name))
        os.unlink(name, dir_fd=self.fd)
        return True

    def child_path(self, name: str) -> str:
        """The path in the root of an entry, for messages."""
        return f"/{self.path}/{name}" if self.path else f"/{name}"


class Upper:
    """The writable top of a stack. Used as a context manager; it keeps a bounded number of directories open."""

    def __init__(self, work: Workspace, namespace: str = "trusted") -> None:
        self.view = Rootfs((work.upper, *work.layers), namespace)
        self._below = Rootfs(work.layers, namespace)
        self._root = os.fspath(work.upper)
        self._private = f"{namespace}.overlay."
        self._cache: OrderedDict[str, Directory] = OrderedDict()
        #: All that are open, also those that the cache has dropped: an exception's traceback can keep them alive.
        self._open: WeakSet[Directory] = WeakSet()

    def __enter__(self) -> Upper:
        return self

    def __exit__(self, *exc: object) -> None:
        self._cache.clear()
        for directory in list(self._open):
            directory.close()

    def holds(self, node: Node) -> bool:
        """Whether a node of `view` lies in the upper layer itself."""
        return node.real.startswith(self._root + "/")

    def open(self, path: str, make: NewDirectory, *, replace: bool = False) -> Directory:
        """Open the directory at a canonical path for writing: copied up, or made, with all its parents. With
        `replace` a non-directory in the last place gives way.

        Raises NotADirectoryError (with the path in the root) if anything else is in the way, and OSError
        ENAMETOOLONG for a path that no process could use: one system call a component would make even those.
        """
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, "path too long", "/" + path[:80] + "…")
        names = path.split("/") if path else []
        depth = len(names)
        while depth and "/".join(names[:depth]) not in self._cache:
            depth -= 1
        directory = self._cached("/".join(names[:depth]))
        for index in range(depth, len(names)):
            directory = self._descend(directory, names[index], make, replace and index == len(names) - 1)
            self._cache[directory.path] = directory
            self._open.add(directory)
            if len(self._cache) > _KEPT_OPEN:
                self._cache.popitem(last=False)
        return directory

    def _cached(self, path: str) -> Directory:
        if path not in self._cache:
            assert path == ""
            self._cache[""] = Directory(os.open(self._root, _OPEN), "", self._below.dirs, self._below)
            self._open.add(self._cache[""])
        self._cache.move_to_end(path)
        return self._cache[path]

    def remove(self, directory: Directory, name: str) -> None:
        """Remove whatever the upper layer holds at `name`, trees too. What lies below it comes to light again."""
        mine = directory.lstat(name)
        if mine is None:
            return
        if not stat.S_ISDIR(mine.st_mode):
            os.unlink(name, dir_fd=directory.fd)
            return
        gone = directory.child_path(name)[1:]
        for path in [path for path in self._cache if path == gone or path.startswith(gone + "/")]:
            del self._cache[path]
        _remove_tree(f"{self._root}/{gone}")

    def _descend(self, parent: Directory, name: str, make: NewDirectory, replace: bool) -> Directory:
        path = f"{parent.path}/{name}" if parent.path else name
        if name in (".", ".."):
            raise OSError(errno.EINVAL, "not a name", "/" + path)
        node = self._below.child(parent.lower, name)
        lower = node.dirs if node else ()
        try:
            fd = os.open(name, _OPEN, dir_fd=parent.fd)
        except FileNotFoundError:
            if node is not None and node.is_dir:
                return Directory(self._copy_up(parent, name, node), path, lower, self._below)
            if node is not None and not replace:
                raise self._in_the_way(path) from None
            return Directory(self._make(parent, name, make), path, (), self._below)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            mine = parent.lstat(name)
            if not replace and mine is not None and not is_whiteout(mine):
                raise self._in_the_way(path) from None
            os.unlink(name, dir_fd=parent.fd)
            fd = self._make(parent, name, make)
            if lower:
                os.setxattr(fd, self._private + "opaque", b"y")
            return Directory(fd, path, (), self._below)
        return Directory(fd, path, () if self._below.mark(fd) == b"y" else lower, self._below)

    @staticmethod
    def _in_the_way(path: str) -> NotADirectoryError:
        return NotADirectoryError(errno.ENOTDIR, "not a directory", "/" + path)

    @staticmethod
    def _make(parent: Directory, name: str, make: NewDirectory) -> int:
        os.mkdir(name, 0o700, dir_fd=parent.fd)
        fd = os.open(name, _OPEN, dir_fd=parent.fd)
        os.fchown(fd, make.uid, make.gid)
        os.fchmod(fd, make.mode)
        return fd

    def _copy_up(self, parent: Directory, name: str, node: Node) -> int:
        """Overlayfs' copy up of a directory; the parent's times stay, for nothing that it shows has changed."""
        before, info = os.fstat(parent.fd), node.stat
        fd = self._make(parent, name, NewDirectory(info.st_uid, info.st_gid, info.st_mode & 0o7777))
        for attribute in os.listxattr(node.real, follow_symlinks=False):
            if not attribute.startswith(self._private):
                os.setxattr(fd, attribute, os.getxattr(node.real, attribute, follow_symlinks=False))
        os.utime(fd, ns=(info.st_atime_ns, info.st_mtime_ns))
        os.utime(parent.fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        return fd


def _remove_tree(top: str) -> None:
    """Remove a directory that no link leads to. Not by recursion: trees may be deeper than Python's stack."""
    directories, waiting = [], [top]
    while waiting:
        directory = waiting.pop()
        directories.append(directory)
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    os.unlink(entry.path)
    for directory in reversed(directories):
        os.rmdir(directory)
