"""Writing tar entries: batching, hard links, contents of exactly the promised size."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.image.latest import NO_LIMIT
from lamina.image.tarheader import BLOCK, CHAR, END, FIFO, FILE, HARDLINK, Xattrs, entry_blocks, padding

Sink = Callable[[bytes], object]

_CHUNK = 1 << 20
_BATCH = 1 << 18
#: Files below this size are read by one call.
_SMALL = 1 << 16
_SPECIAL = {stat.S_IFIFO: FIFO, stat.S_IFCHR: CHAR, stat.S_IFBLK: BLOCK}


class TarStream:
    """Gathers small pieces into batches of at least 256 KiB before they reach the sinks; large ones pass untouched.

    `timeless` gets the stream without times (see `entry_blocks`). Content objects are shared between both, not copied.
    """

    def __init__(self, sink: Sink, timeless: Sink | None = None) -> None:
        self._sink, self._timeless = sink, timeless
        self._full: list[bytes] = []
        self._bare: list[bytes] = []
        self._waiting = 0
        self.entries = 0
        self.written = 0

    def header(self, blocks: tuple[bytes, bytes], whole: bytes = b"") -> None:
        """Begin an entry with what `entry_blocks` gave, and its content, if it is small and here, padding included."""
        self.entries += 1
        self._full += (blocks[0], whole)
        self._bare += (blocks[1], whole)
        self._count(len(blocks[0]) + len(whole))

    def data(self, piece: bytes) -> None:
        """A piece of the current entry's content; the caller adds the padding after the last one."""
        if len(piece) >= _BATCH:
            self._flush()
            self.written += len(piece)
            self._sink(piece)
            if self._timeless is not None:
                self._timeless(piece)
        elif piece:
            self._full.append(piece)
            self._bare.append(piece)
            self._count(len(piece))

    def end(self) -> None:
        """Write the end marker and everything that waits. Nothing may follow."""
        self.data(END)
        self._flush()

    def _count(self, size: int) -> None:
        self._waiting += size
        if self._waiting >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._full:
            return
        batch = b"".join(self._full)
        self.written += len(batch)
        self._sink(batch)
        if self._timeless is not None:
            self._timeless(b"".join(self._bare))
        self._full.clear()
        self._bare.clear()
        self._waiting = 0


class Met(Struct, gc=False):
    """An inode that has several `names`, of which so many were met, the first of them at `path`; `blocks` of 512
    bytes on the disk."""

    path: bytes
    blocks: int
    names: int
    met: int = 1


class EntryWriter:
    """Entries from what `stat` says: hard links to the first of an inode's paths, contents read exactly once."""

    def __init__(self, stream: TarStream) -> None:
        self.stream = stream
        #: Bytes of regular files so far.
        self.size = 0
        #: No entry is later than this, in seconds since 1970 (see `latest`).
        self.latest = NO_LIMIT
        #: Every inode that has more than one name.
        self._first: dict[tuple[int, int], Met] = {}

    def hard_link(self, path: bytes, st: os.stat_result) -> bool:
        """Whether this inode was written before under another name; if so, it is linked to that and done."""
        if st.st_nlink < 2:
            return False
        first = self._first.get((st.st_dev, st.st_ino))
        if first is None:
            self._first[st.st_dev, st.st_ino] = Met(path, st.st_blocks, st.st_nlink)
            return False
        first.met += 1
        self.header(path, HARDLINK, st, link=first.path)
        return True

    @property
    def linked_blocks(self) -> int:
        """What the inodes with several names take on the disk of which all names were met."""
        return sum(one.blocks for one in self._first.values() if one.met == one.names)

    def header(
        self,
        path: bytes,
        kind: bytes,
        st: os.stat_result,
        size: int = 0,
        link: bytes = b"",
        xattrs: Xattrs = (),
        whole: bytes = b"",
    ) -> None:
        """Begin an entry. `size` is the bytes of content that follow, unless that is here as a `whole`, padded."""
        device = (os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in (CHAR, BLOCK) else (0, 0)
        mode, mtime = st.st_mode & 0o7777, min(st.st_mtime_ns // 1_000_000_000, self.latest)
        try:
            blocks = entry_blocks(path, kind, mode, st.st_uid, st.st_gid, size, mtime, link, device, xattrs)
        except ValueError as error:
            raise BuildFailure("image-unsupported-attribute", f"{shown(path)}: {error}") from error
        self.stream.header(blocks, whole)

    def file(self, descriptor: int, path: bytes, st: os.stat_result, xattrs: Xattrs) -> None:
        """A regular file that is open. Raises as `header` and `content` do."""
        size = st.st_size
        if size < _SMALL:
            # One byte more than there should be, so that one call shows the end too.
            whole = os.read(descriptor, size + 1)
            if len(whole) == size:
                self.header(path, FILE, st, size, b"", xattrs, whole + padding(size))
                self.size += size
                return
            os.lseek(descriptor, 0, os.SEEK_SET)
        self.header(path, FILE, st, size, b"", xattrs)
        self.content(descriptor, path, size)

    def content(self, descriptor: int, path: bytes, size: int) -> None:
        """The bytes of an open file. Raises BuildFailure `image-layer-changed` if they are not `size` many."""
        left = size
        while left:
            piece = os.read(descriptor, min(left, _CHUNK))
            if not piece:
                break
            left -= len(piece)
            self.stream.data(piece)
        if left or os.read(descriptor, 1):
            raise BuildFailure(
                "image-layer-changed",
                f"the file {shown(path)} changed while its layer was read",
                hint="let no process of the step go on writing after the step has ended",
            )
        self.stream.data(padding(size))
        self.size += size

    def special(self, path: bytes, st: os.stat_result) -> None:
        """A pipe or a device; a socket is left out, for a tar has no kind for it."""
        kind = _SPECIAL.get(stat.S_IFMT(st.st_mode))
        if kind is not None:
            self.header(path, kind, st)


def shown(path: bytes) -> str:
    """A path of a layer for messages."""
    return "'/" + path.decode("utf-8", "backslashreplace") + "'"
