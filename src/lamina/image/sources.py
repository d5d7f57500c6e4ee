"""Where the files of a COPY come from: the build context through its port, another stage's layers, or a plain
directory."""

from __future__ import annotations

import errno
from typing import BinaryIO, Protocol

from lamina.image.rootfs import Node, Rootfs
from lamina.keys.filetree import FileRecord
from lamina.ports.sources import ContextReader

_NOT_A_NAME = ("", ".", "..")


class Source(Protocol):
    """What placing needs to know of a record. `owner` is what it keeps unless `--chown` says otherwise; `inode` names
    a file that has several names, None for one that has not."""

    def open(self, record: FileRecord) -> BinaryIO: ...
    def mtime_ns(self, record: FileRecord) -> int: ...
    def owner(self, record: FileRecord) -> tuple[int, int]: ...
    def inode(self, record: FileRecord) -> tuple[int, int] | None: ...


class ContextSource:
    """The build context: everything belongs to root, as in Docker."""

    def __init__(self, reader: ContextReader) -> None:
        self.open = reader.open
        self._mtime_ns = reader.mtime_ns

    def mtime_ns(self, record: FileRecord) -> int:
        return self._mtime_ns(record.path)

    def owner(self, record: FileRecord) -> tuple[int, int]:
        return 0, 0

    def inode(self, record: FileRecord) -> tuple[int, int] | None:
        return None


class StackSource:
    """Another stage's layers, or a plain directory; the records' paths are canonical. Content and times are those on
    the disk; all else is the records', which say of a download what the disk does not."""

    def __init__(self, rootfs: Rootfs) -> None:
        self._rootfs = rootfs
        self._parents: dict[str, tuple[str, ...]] = {"": rootfs.dirs}
        self._last: tuple[str, Node] | None = None

    def open(self, record: FileRecord) -> BinaryIO:
        return self._rootfs.open(self._node(record.path))

    def mtime_ns(self, record: FileRecord) -> int:
        return self._node(record.path).stat.st_mtime_ns

    def owner(self, record: FileRecord) -> tuple[int, int]:
        return record.uid, record.gid

    def inode(self, record: FileRecord) -> tuple[int, int] | None:
        info = self._node(record.path).stat
        return (info.st_dev, info.st_ino) if info.st_nlink > 1 else None

    def _node(self, path: str) -> Node:
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        parent, _, name = path.rpartition("/")
        if parent not in self._parents:
            self._parents[parent] = self._node(parent).dirs
        node = self._rootfs.child(self._parents[parent], name) if name not in _NOT_A_NAME else None
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no such file or directory", "/" + path)
        self._last = path, node
        return node
