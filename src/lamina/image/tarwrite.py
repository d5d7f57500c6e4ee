"""From a finished layer directory (overlayfs' format) to the layer's tar, the same bytes every time.

Order: depth first, siblings by their bytes with a directory counted as `name/`; a whiteout stands where the file stood
that it removes, and an opaque marker comes first in its directory. So parents precede children, and the order is that
of the sorted names in the tar. Rule: image-spec, layer.md; kernel, filesystems/overlayfs.rst ("whiteouts and opaque
directories"). Times are cut to whole seconds, as Docker does. Markers have mode 0, owner 0:0 and time 0.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.image.tarheader import (
    BLOCK,
    CHAR,
    DIRECTORY,
    END,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Xattrs,
    entry_blocks,
    padding,
)
from lamina.image.xattrs import Namespace, read_attributes

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = b".wh..wh..opq"

_CHUNK = 1 << 20
_BATCH = 1 << 18
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC

Sink = Callable[[bytes], object]


class LayerStats(Struct, frozen=True):
    """What was written: entries (markers too), bytes of regular files (a hard-linked one once), bytes of tar."""

    entries: int
    size: int
    tar_size: int


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

    def header(self, blocks: tuple[bytes, bytes]) -> None:
        """Begin an entry with what `entry_blocks` gave."""
        self.entries += 1
        self._full.append(blocks[0])
        self._bare.append(blocks[1])
        self._count(len(blocks[0]))

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


def write_layer(
    upper: Path, sink: Sink, *, xattr_namespace: Namespace = "trusted", timeless: Sink | None = None
) -> LayerStats:
    """Write the tar of layer directory `upper` to `sink` in large pieces, and its timeless form to `timeless`.

    The directory itself is no entry. Sockets are left out (a tar has no kind for them). Raises BuildFailure
    `image-layer-unreadable`, `image-layer-changed` (a file that shrinks or grows meanwhile), `image-reserved-name`
    (a file called `.wh.…` would read as a deletion) and `image-unsupported-attribute`.
    """
    writer = _LayerWriter(TarStream(sink, timeless), xattr_namespace)
    try:
        writer.walk(upper)
    except OSError as error:
        raise BuildFailure(
            "image-layer-unreadable", f"cannot read {_shown(writer.at)} of a layer", cause=error.strerror
        ) from error
    finally:
        writer.close()
    writer.stream.end()
    return LayerStats(writer.stream.entries, writer.size, writer.stream.written)


class _LayerWriter:
    def __init__(self, stream: TarStream, namespace: Namespace) -> None:
        self.stream = stream
        self.size = 0
        #: The path being read, for error messages.
        self.at = b""
        self._namespace: Namespace = namespace
        #: First path of every inode that has more than one name.
        self._first: dict[tuple[int, int], bytes] = {}
        #: Open directories from the root down to where the walk is: (descriptor, path with slash, entries left).
        self._open: list[tuple[int, bytes, list[os.DirEntry[str]]]] = []

    def walk(self, upper: Path) -> None:
        # No opaque marker for the root: overlayfs looks at no mark there either.
        self._enter(os.open(upper, _OPEN_DIRECTORY), b"")
        while self._open:
            directory, path, left = self._open[-1]
            if not left:
                self._open.pop()
                os.close(directory)
                continue
            entry = left.pop()
            self.at = path + os.fsencode(entry.name)
            self._entry(directory, entry.name, path, entry.stat(follow_symlinks=False))

    def close(self) -> None:
        for directory, _, _ in self._open:
            os.close(directory)
        self._open.clear()

    def _enter(self, directory: int, path: bytes) -> None:
        """Make an open directory the place where the walk goes on."""
        self._open.append((directory, path, []))
        with os.scandir(directory) as entries:
            self._open[-1][2].extend(sorted(entries, key=_order, reverse=True))

    def _entry(self, directory: int, name: str, parent: bytes, st: os.stat_result) -> None:
        path, kind = self.at, stat.S_IFMT(st.st_mode)
        if kind == stat.S_IFCHR and st.st_rdev == 0:
            self._marker(_whiteout(parent, name))
            return
        if name.startswith(WHITEOUT_PREFIX):
            raise BuildFailure(
                "image-reserved-name",
                f"the file {_shown(path)} cannot be part of an image: in a layer, names that begin with "
                f"'{WHITEOUT_PREFIX}' mean deletions",
                hint="give the file another name, or delete it in the step that makes it",
            )
        if kind == stat.S_IFDIR:
            self._directory(directory, name, path + b"/", st)
            return
        if st.st_nlink > 1 and kind != stat.S_IFSOCK:
            first = self._first.setdefault((st.st_dev, st.st_ino), path)
            if first is not path:
                self._header(path, HARDLINK, st, link=first)
                return
        if kind == stat.S_IFREG:
            self._file(directory, name, parent, st)
        elif kind == stat.S_IFLNK:
            self._header(path, SYMLINK, st, link=os.fsencode(os.readlink(name, dir_fd=directory)))
        elif kind == stat.S_IFIFO:
            self._header(path, FIFO, st)
        elif kind != stat.S_IFSOCK:
            device = os.major(st.st_rdev), os.minor(st.st_rdev)
            self._header(path, CHAR if kind == stat.S_IFCHR else BLOCK, st, device=device)

    def _directory(self, parent: int, name: str, path: bytes, st: os.stat_result) -> None:
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        self._enter(directory, path)
        found = read_attributes(directory, self._namespace)
        self._header(path, DIRECTORY, st, xattrs=found.kept)
        if found.mark == "opaque":
            self._marker(path + OPAQUE_MARKER)

    def _file(self, directory: int, name: str, parent: bytes, st: os.stat_result) -> None:
        descriptor = os.open(name, _OPEN_FILE, dir_fd=directory)
        try:
            found = read_attributes(descriptor, self._namespace)
            if found.mark == "whiteout" and st.st_size == 0:
                self._marker(_whiteout(parent, name))
                return
            self._header(self.at, FILE, st, size=st.st_size, xattrs=found.kept)
            self._content(descriptor, st.st_size)
        finally:
            os.close(descriptor)

    def _content(self, descriptor: int, size: int) -> None:
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
                f"the file {_shown(self.at)} changed while its layer was read",
                hint="let no process of the step go on writing after the step has ended",
            )
        self.stream.data(padding(size))
        self.size += size

    def _header(
        self,
        path: bytes,
        kind: bytes,
        st: os.stat_result,
        size: int = 0,
        link: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: Xattrs = (),
    ) -> None:
        mode, mtime = st.st_mode & 0o7777, st.st_mtime_ns // 1_000_000_000
        try:
            blocks = entry_blocks(path, kind, mode, st.st_uid, st.st_gid, size, mtime, link, device, xattrs)
        except ValueError as error:
            raise BuildFailure("image-unsupported-attribute", f"{_shown(path)}: {error}") from error
        self.stream.header(blocks)

    def _marker(self, path: bytes) -> None:
        self.stream.header(entry_blocks(path, FILE, 0, 0, 0, 0, 0))


def _order(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def _whiteout(parent: bytes, name: str) -> bytes:
    return parent + os.fsencode(WHITEOUT_PREFIX + name)


def _shown(path: bytes) -> str:
    return "'/" + path.decode("utf-8", "backslashreplace") + "'"
