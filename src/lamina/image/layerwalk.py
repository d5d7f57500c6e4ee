"""The entries of a layer directory one after the other, as its tar would have them, with what they hold at hand.

The order is that of the tar (`tarwrite`), which is the order of the names' bytes where a directory's has a slash behind
it: two walks can be compared like two sorted lists, and neither is ever in memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from lamina.image.xattrs import Namespace, read_attributes

EntryKind = Literal[
    "file", "directory", "link", "hard link", "pipe", "character device", "block device", "deletion", "replacement"
]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: dict[int, EntryKind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class LayerEntry(NamedTuple):
    """One entry. `order` is what walks are sorted by, the path with a slash behind a directory's. `kind`: a `deletion`
    is a whiteout, a `replacement` a directory that hides the one below it. `target` is that of a link, the first name
    of a hard link, or a device's numbers. `descriptor` is an open regular file (else -1), until the next entry."""

    order: bytes
    kind: EntryKind
    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    size: int = 0
    target: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    descriptor: int = -1

    @property
    def path(self) -> bytes:
        return self.order.removesuffix(b"/")


class LayerWalk:
    """The walk over one layer; a context manager, which frees what is open. Use `entries` once.

    Raises OSError, and what `read_attributes` raises.
    """

    def __init__(self, layer: Path, namespace: Namespace) -> None:
        self._namespace: Namespace = namespace
        self._root = os.open(layer, _FLAGS | os.O_DIRECTORY)
        #: Open directories from the root down: descriptor, path with slash, entries left.
        self._open: list[tuple[int, bytes, list[os.DirEntry[str]]]] = []
        #: First name of every inode that has several.
        self._first: dict[int, bytes] = {}

    def __enter__(self) -> LayerWalk:
        return self

    def __exit__(self, *exc: object) -> None:
        for directory, _, _ in self._open:
            os.close(directory)
        self._open.clear()
        os.close(self._root)

    def entries(self) -> Iterator[LayerEntry]:
        """All entries; the layer's root is none."""
        self._enter(os.open(".", _FLAGS | os.O_DIRECTORY, dir_fd=self._root), b"")
        while self._open:
            directory, path, left = self._open[-1]
            if not left:
                self._open.pop()
                os.close(directory)
                continue
            entry = left.pop()
            yield from self._entry(directory, entry.name, path, entry.stat(follow_symlinks=False))

    def has(self, path: bytes) -> bool:
        """Whether this layer has something at a path, whatever it is; no link is followed on the way."""
        *parents, name = path.split(b"/")
        current = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root)
        try:
            for parent in parents:
                below = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
                os.close(current)
                current = below
            return not stat.S_ISSOCK(os.lstat(name, dir_fd=current).st_mode)
        except OSError:
            return False
        finally:
            os.close(current)

    def _enter(self, directory: int, path: bytes) -> None:
        self._open.append((directory, path, []))
        with os.scandir(directory) as entries:
            self._open[-1][2].extend(sorted(entries, key=_order, reverse=True))

    def _entry(self, directory: int, name: str, parent: bytes, st: os.stat_result) -> Iterator[LayerEntry]:
        path, kind = parent + os.fsencode(name), _KINDS.get(stat.S_IFMT(st.st_mode))
        mode, owner = st.st_mode & 0o7777, (st.st_uid, st.st_gid)
        if kind is None:  # a socket, which a tar has no kind for
            return
        if kind == "character device" and st.st_rdev == 0:
            yield LayerEntry(path, "deletion")
        elif kind == "directory":
            below = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=directory)
            self._enter(below, path + b"/")
            found = read_attributes(below, self._namespace)
            kind = "replacement" if found.mark == "opaque" else kind
            yield LayerEntry(path + b"/", kind, mode, owner, xattrs=found.kept)
        elif st.st_nlink > 1 and self._first.setdefault(st.st_ino, path) is not path:
            yield LayerEntry(path, "hard link", mode, owner, target=self._first[st.st_ino])
        elif kind == "file":
            yield from self._file(directory, name, path, st)
        elif kind == "link":
            yield LayerEntry(path, kind, mode, owner, target=os.fsencode(os.readlink(name, dir_fd=directory)))
        else:
            numbers = b"" if kind == "pipe" else b"%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))
            yield LayerEntry(path, kind, mode, owner, target=numbers)

    def _file(self, directory: int, name: str, path: bytes, st: os.stat_result) -> Iterator[LayerEntry]:
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
        try:
            found = read_attributes(descriptor, self._namespace)
            if found.mark == "whiteout" and st.st_size == 0:
                yield LayerEntry(path, "deletion")
                return
            mode, owner = st.st_mode & 0o7777, (st.st_uid, st.st_gid)
            yield LayerEntry(path, "file", mode, owner, st.st_size, xattrs=found.kept, descriptor=descriptor)
        finally:
            os.close(descriptor)


def _order(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name
