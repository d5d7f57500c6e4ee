"""The files of the observed layers as the server sees them: nodes by number, what was looked at, and the real files.

Nodes are (parent, name): a layer's names and depth are hostile, so nothing here depends on the length of a path, and
every access opens one component below a directory that was opened in the same way, never through a link. A node lives
as long as the watch: layers do not change, so what could be forgotten is bounded by what they hold.
"""

from __future__ import annotations

import errno
import os
import stat
from _blake2 import blake2b
from array import array
from collections.abc import Sequence

# Kinds of looks, as bits.
ENTRY, LIST, READ, LINK, XATTRS = 1, 2, 4, 8, 16

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORIES = 256
_FILES = 16
_LISTINGS = 16

#: One entry of a listing: inode number, type, name.
Entry = tuple[int, int, bytes]


class Tree:
    """Layers below one root: node 1 is the root, nodes 2, 3… the layers' own directories, named `0`, `1`…

    `limit` is the number of absent names that are remembered; `overrun` says that there were more.
    """

    def __init__(self, layers: Sequence[int], limit: int) -> None:
        self._parents = array("I", [0, 0])
        self._names = [b"", b""]
        self._inos = array("Q", [0, 1])
        self._nodes: dict[tuple[int, bytes], int] = {}
        self._first = 2 + len(layers)
        self._absent = 0
        self._limit = limit
        self._directories: dict[int, int] = {}
        self._files: dict[int, int] = {}
        self._listings: dict[int, list[Entry]] = {}
        self._layers = {2 + index: descriptor for index, descriptor in enumerate(layers)}
        self.kinds = bytearray(2)
        self.overrun = False
        for index in range(len(layers)):
            self._add(1, b"%d" % index)

    def _add(self, parent: int, name: bytes) -> int:
        node = len(self._names)
        self._parents.append(parent)
        self._inos.append(self._ino(parent, name))
        self.kinds.append(0)
        self._nodes[parent, name] = node
        # Last: a node is counted once it is complete.
        self._names.append(name)
        return node

    def _ino(self, parent: int, name: bytes) -> int:
        """The same for the same path in every watch, and unlike all others."""
        return int.from_bytes(blake2b(b"%d/%b" % (self._inos[parent], name), digest_size=6).digest(), "little")

    # --- looks ---------------------------------------------------------------------------------------------------
    def note(self, node: int, kind: int) -> None:
        self.kinds[node] |= kind

    def noted(self) -> list[tuple[int, int, int, bytes]]:
        """All that was looked at: (node, parent, kinds, name); a parent comes before what is in it."""
        count = len(self._names)
        kinds = self.kinds
        return [(node, self._parents[node], kinds[node], self._names[node]) for node in range(2, count)]

    # --- answers -------------------------------------------------------------------------------------------------
    def look_up(self, parent: int, name: bytes) -> tuple[int, int, os.stat_result | None]:
        """Node, inode number and attributes of a name, None for one that is not there; noted in either case."""
        node = self._nodes.get((parent, name))
        if parent == 1:
            return (node, self._inos[node], os.stat(self._layers[node])) if node else (0, 0, None)
        try:
            info = os.stat(name, dir_fd=self.directory(parent), follow_symlinks=False)
        except FileNotFoundError:
            info = None
            if node is None:
                self._absent += 1
                if self._absent > self._limit:
                    self.overrun = True
                    return 0, 0, None
        if node is None:
            node = self._add(parent, name)
        self.kinds[node] |= ENTRY
        return node, self._inos[node], info

    def attributes(self, node: int) -> tuple[int, os.stat_result]:
        if node < self._first:
            return self._inos[node], os.stat(self._layers.get(node, self._layers[2]))
        self.kinds[node] |= ENTRY
        place = self.directory(self._parents[node])
        return self._inos[node], os.stat(self._names[node], dir_fd=place, follow_symlinks=False)

    def read(self, node: int, offset: int, size: int) -> bytes:
        self.kinds[node] |= READ
        descriptor = self._files.pop(node, None)
        if descriptor is None:
            descriptor = os.open(self._names[node], _FILE, dir_fd=self.directory(self._parents[node]))
        try:
            data = os.pread(descriptor, size, offset)
        except BaseException:
            os.close(descriptor)
            raise
        if len(data) < size:
            os.close(descriptor)
            return data
        # More will be asked.
        self._files[node] = descriptor
        if len(self._files) > _FILES:
            os.close(self._files.pop(next(iter(self._files))))
        return data

    def link(self, node: int) -> bytes:
        self.kinds[node] |= LINK
        return os.readlink(self._names[node], dir_fd=self.directory(self._parents[node]))

    def attribute(self, node: int, name: bytes) -> bytes:
        """An extended attribute. Raises OSError with ENODATA.

        Overlayfs asks for its own marks of all that it looks up, which therefore belong to an entry; for `metacopy` of
        each regular file, which no layer has that lamina made.
        """
        if node == 1 or name.endswith(b".overlay.metacopy"):
            raise OSError(errno.ENODATA, "")
        if not name.startswith((b"trusted.overlay.", b"user.overlay.")):
            self.kinds[node] |= XATTRS
        return os.getxattr(self._real(node), name, follow_symlinks=False)

    def attribute_names(self, node: int) -> bytes:
        if node == 1:
            return b""
        self.kinds[node] |= XATTRS
        names = os.listxattr(self._real(node), follow_symlinks=False)
        return b"".join(os.fsencode(name) + b"\0" for name in names)

    def listing(self, node: int, offset: int) -> list[Entry]:
        """The entries of a directory behind number `offset`, `.` and `..` first, then by name: the same for equal
        directories, and the same each time."""
        self.kinds[node] |= LIST
        entries = self._listings.pop(node, None)
        if entries is None:
            entries = self._list(node)
        self._listings[node] = entries
        if len(self._listings) > _LISTINGS:
            del self._listings[next(iter(self._listings))]
        return entries[offset:] if offset else entries

    def _list(self, node: int) -> list[Entry]:
        entries: list[Entry] = [(self._inos[node], 4, b"."), (self._inos[self._parents[node] or node], 4, b"..")]
        if node == 1:
            return entries
        with os.scandir(b"/proc/self/fd/%d" % self.directory(node)) as found:
            rest = sorted((entry.name, _type(entry)) for entry in found)
        entries += ((self._ino(node, name), kind, name) for name, kind in rest)
        return entries

    # --- real files ----------------------------------------------------------------------------------------------
    def directory(self, node: int) -> int:
        """An O_PATH descriptor of a directory, good until the next call."""
        held = self._directories
        descriptor = held.get(node)
        if descriptor is not None:
            return descriptor
        way: list[int] = []
        while descriptor is None:
            if node in self._layers:
                descriptor = self._layers[node]
            elif node in held:
                descriptor = held[node]
            else:
                way.append(node)
                node = self._parents[node]
        opened: list[tuple[int, int]] = []
        for node in reversed(way):
            descriptor = os.open(self._names[node], _DIRECTORY, dir_fd=descriptor)
            # A hostile depth must not exhaust the descriptors.
            opened.append((node, descriptor))
            if len(opened) > 2:
                os.close(opened.pop(0)[1])
        for node, each in opened:
            held[node] = each
        while len(held) > _DIRECTORIES:
            os.close(held.pop(next(iter(held))))
        return descriptor

    def _real(self, node: int) -> bytes:
        """A path for calls that take no descriptor of a directory; only its last component is a name of the layer."""
        if node in self._layers:
            return b"/proc/self/fd/%d/." % self._layers[node]
        return b"/proc/self/fd/%d/%b" % (self.directory(self._parents[node]), self._names[node])


def _type(entry: os.DirEntry[bytes]) -> int:
    """d_type (DT_REG…)."""
    if entry.is_symlink():
        return 10
    if entry.is_dir(follow_symlinks=False):
        return 4
    if entry.is_file(follow_symlinks=False):
        return 8
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) >> 12
