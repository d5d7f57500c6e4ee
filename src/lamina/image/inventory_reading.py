"""Directories of several layers read side by side, by descriptors, however long their paths are.

A folder is an open directory some way above it and the way from there, so that few descriptors are open and no path
that the kernel is given is longer than it takes. All names on a way were seen to be real directories of the layer, so
no link of an image is ever followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lamina.image.xattrs import Namespace, read_attributes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Bytes of a way; a name behind it has at most 255, the kernel takes 4095.
_LONGEST_WAY = 3000
_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class Entry(NamedTuple):
    """One name in one layer. `layer` counts from 0, the lowest. `kind` is a `Change`'s, or `deletion` for a whiteout.
    `size` is a file's; `inode` tells files with several names apart, 0 for one with one name; `device` is that of a
    device file."""

    layer: int
    kind: str
    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    size: int = 0
    inode: int = 0
    device: int = 0


class Folder(NamedTuple):
    """A directory of a layer: the open directory `anchor`, and the way from there."""

    layer: int
    anchor: int
    way: str = "."

    def below(self, name: str) -> str:
        return name if self.way == "." else f"{self.way}/{name}"


class Listing:
    """What folders of one path hold: `names` → its entries, lowest layer first. `opaque` are the layers that hide what
    lies below. Close it after its last use; its folders are gone then."""

    def __init__(self, folders: Sequence[Folder], namespace: Namespace) -> None:
        """Raises OSError, and what `read_attributes` raises."""
        self._opened: list[int] = []
        self.folders: dict[int, Folder] = {}
        self.names: dict[str, list[Entry]] = {}
        self.opaque: list[int] = []
        try:
            for folder in folders:
                self._read(folder, namespace)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        while self._opened:
            os.close(self._opened.pop())

    def below(self, name: str, layer: int) -> Folder:
        """The folder of a name that is a directory in a layer."""
        folder = self.folders[layer]
        return Folder(layer, folder.anchor, folder.below(name))

    def same_content(self, name: str, one: Entry, other: Entry) -> bool:
        """Whether a file, link or device is the same in two layers, attributes aside. Reads both if it must."""
        if one.kind != other.kind or one.kind == "directory":
            return one.kind == other.kind
        if one.kind != "file":
            same_target = one.kind != "link" or self._target(name, one) == self._target(name, other)
            return same_target and one.device == other.device
        if one.size != other.size:
            return False
        return one.size == 0 or self._equal(name, one, other)

    def _read(self, folder: Folder, namespace: Namespace) -> None:
        descriptor = os.open(folder.way, _DIRECTORY, dir_fd=folder.anchor)
        deep = len(os.fsencode(folder.way)) > _LONGEST_WAY
        try:
            self.folders[folder.layer] = Folder(folder.layer, descriptor) if deep else folder
            if read_attributes(descriptor, namespace).mark == "opaque":
                self.opaque.append(folder.layer)
            with os.scandir(descriptor) as entries:
                for each in entries:
                    found = _entry(folder.layer, descriptor, each.name, each.stat(follow_symlinks=False), namespace)
                    if found is not None:
                        self.names.setdefault(each.name, []).append(found)
        finally:
            if deep:
                self._opened.append(descriptor)
            else:
                os.close(descriptor)

    def _target(self, name: str, entry: Entry) -> str:
        folder = self.folders[entry.layer]
        return os.readlink(folder.below(name), dir_fd=folder.anchor)

    def _equal(self, name: str, one: Entry, other: Entry) -> bool:
        descriptors: list[int] = []
        try:
            for entry in (one, other):
                folder = self.folders[entry.layer]
                descriptors.append(os.open(folder.below(name), _FILE, dir_fd=folder.anchor))
            return _equal_files(*descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


class Roots:
    """The roots of layers, lowest first, open for the length of a block; as folders."""

    def __init__(self, layers: Sequence[Path]) -> None:
        self._layers = layers
        self._open: list[int] = []

    def __enter__(self) -> list[Folder]:
        try:
            for layer in self._layers:
                self._open.append(os.open(layer, _DIRECTORY))
        except BaseException:
            self.__exit__()
            raise
        return [Folder(number, descriptor) for number, descriptor in enumerate(self._open)]

    def __exit__(self, *exc: object) -> None:
        while self._open:
            os.close(self._open.pop())


def _entry(layer: int, directory: int, name: str, info: os.stat_result, namespace: Namespace) -> Entry | None:
    kind = _KINDS.get(stat.S_IFMT(info.st_mode))
    if kind is None:  # a socket, which a tar has no kind for
        return None
    if kind == "character device" and info.st_rdev == 0:
        return Entry(layer, "deletion")
    if kind == "file" and info.st_size == 0 and _is_marked_deletion(directory, name, namespace):
        return Entry(layer, "deletion")
    mode, owner = stat.S_IMODE(info.st_mode), (info.st_uid, info.st_gid)
    if kind == "file":
        return Entry(layer, kind, mode, owner, info.st_size, info.st_ino if info.st_nlink > 1 else 0)
    return Entry(layer, kind, mode, owner, device=info.st_rdev if kind.endswith("device") else 0)


def _is_marked_deletion(directory: int, name: str, namespace: Namespace) -> bool:
    """The other form of a whiteout (Linux 6.7): an empty file with an extended attribute."""
    descriptor = os.open(name, _FILE, dir_fd=directory)
    try:
        return read_attributes(descriptor, namespace).mark == "whiteout"
    finally:
        os.close(descriptor)


def _equal_files(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return True
    offset = 0
    while True:
        left, right = os.pread(one, _CHUNK, offset), os.pread(other, _CHUNK, offset)
        if left != right:
            return False
        if not left:
            return True
        offset += len(left)
