"""From a finished layer directory (overlayfs' format) to the layer's tar, the same bytes every time.

Order: depth first, siblings by their bytes with a directory counted as `name/`; a whiteout stands where the file stood
that it removes, and an opaque marker comes first in its directory. So parents precede children, and the order is that
of the sorted names in the tar. Rule: image-spec, layer.md; kernel, filesystems/overlayfs.rst ("whiteouts and opaque
directories"). Times are cut to whole seconds, as Docker does, and none is later than the layer's mark says (`latest`).
Markers have mode 0, owner 0:0 and time 0.
"""

from __future__ import annotations

import os
import stat
from operator import itemgetter
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.image.latest import latest_of
from lamina.image.tarheader import DIRECTORY, FILE, SYMLINK, entry_blocks
from lamina.image.tarstream import EntryWriter, Sink, TarStream, shown
from lamina.image.xattrs import Namespace, read_attributes

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = b".wh..wh..opq"

_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_first = itemgetter(0)
_OPEN_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class LayerStats(Struct, frozen=True):
    """What was written: entries (markers too), bytes of regular files (a hard-linked one once), bytes of tar. `disk` is
    as in `LayerDiff`."""

    entries: int
    size: int
    tar_size: int
    disk: int | None = None


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
            "image-layer-unreadable", f"cannot read {shown(writer.at)} of a layer", cause=error.strerror
        ) from error
    finally:
        writer.close()
    writer.stream.end()
    return LayerStats(writer.stream.entries, writer.size, writer.stream.written, writer.disk)


class _LayerWriter(EntryWriter):
    def __init__(self, stream: TarStream, namespace: Namespace) -> None:
        super().__init__(stream)
        #: The path being read, for error messages.
        self.at = b""
        self._namespace: Namespace = namespace
        #: Open directories from the root down to where the walk is: (descriptor, path with slash, entries left, each
        #: with its bytes as in `_order`).
        self._open: list[tuple[int, bytes, list[tuple[bytes, os.DirEntry[str]]]]] = []
        #: What directories and files with one name take on the disk, in blocks of 512 bytes.
        self._blocks = 0

    def walk(self, upper: Path) -> None:
        # No opaque marker for the root: overlayfs looks at no mark there either.
        root = os.open(upper, _OPEN_DIRECTORY)
        self._blocks = os.fstat(root).st_blocks
        self._enter(root, b"")
        self.latest = latest_of(root, self._namespace)
        while self._open:
            directory, path, left = self._open[-1]
            if not left:
                self._open.pop()
                os.close(directory)
                continue
            name, entry = left.pop()
            self.at = path + name.removesuffix(b"/")
            st = entry.stat(follow_symlinks=False)
            if st.st_nlink == 1 or stat.S_ISDIR(st.st_mode):
                self._blocks += st.st_blocks
            self._entry(directory, entry.name, path, st)

    @property
    def disk(self) -> int:
        """See `LayerDiff`; the same count as that of the store's own walk."""
        return 512 * (self._blocks + self.linked_blocks)

    def close(self) -> None:
        for directory, _, _ in self._open:
            os.close(directory)
        self._open.clear()

    def _enter(self, directory: int, path: bytes) -> None:
        """Make an open directory the place where the walk goes on."""
        self._open.append((directory, path, []))
        with os.scandir(directory) as entries:
            self._open[-1][2].extend(sorted([(_order(entry), entry) for entry in entries], key=_first, reverse=True))

    def _entry(self, directory: int, name: str, parent: bytes, st: os.stat_result) -> None:
        path, kind = self.at, stat.S_IFMT(st.st_mode)
        if kind == stat.S_IFCHR and st.st_rdev == 0:
            self._marker(_whiteout(parent, name))
            return
        if name.startswith(WHITEOUT_PREFIX):
            raise BuildFailure(
                "image-reserved-name",
                f"the file {shown(path)} cannot be part of an image: in a layer, names that begin with "
                f"'{WHITEOUT_PREFIX}' mean deletions",
                hint="give the file another name, or delete it in the step that makes it",
            )
        if kind == stat.S_IFDIR:
            self._directory(directory, name, path + b"/", st)
            return
        if kind != stat.S_IFSOCK and self.hard_link(path, st):
            return
        if kind == stat.S_IFREG:
            self._file(directory, name, parent, st)
        elif kind == stat.S_IFLNK:
            self.header(path, SYMLINK, st, link=os.fsencode(os.readlink(name, dir_fd=directory)))
        else:
            self.special(path, st)

    def _directory(self, parent: int, name: str, path: bytes, st: os.stat_result) -> None:
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        self._enter(directory, path)
        found = read_attributes(directory, self._namespace)
        self.header(path, DIRECTORY, st, xattrs=found.kept)
        if found.mark == "opaque":
            self._marker(path + OPAQUE_MARKER)

    def _file(self, directory: int, name: str, parent: bytes, st: os.stat_result) -> None:
        descriptor = _opened(name, directory)
        try:
            found = read_attributes(descriptor, self._namespace)
            if found.mark == "whiteout" and st.st_size == 0:
                self._marker(_whiteout(parent, name))
                return
            self.file(descriptor, self.at, st, found.kept)
        finally:
            os.close(descriptor)

    def _marker(self, path: bytes) -> None:
        self.stream.header(entry_blocks(path, FILE, 0, 0, 0, 0, 0))


def _opened(name: str, directory: int) -> int:
    """A file open for reading, without a note that it was read where that is allowed: the layers would have to be
    written for it."""
    try:
        return os.open(name, _OPEN_FILE | os.O_NOATIME, dir_fd=directory)
    except PermissionError:  # of a file of somebody else's, which may be read
        return os.open(name, _OPEN_FILE, dir_fd=directory)


def _order(entry: os.DirEntry[str]) -> bytes:
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def _whiteout(parent: bytes, name: str) -> bytes:
    return parent + os.fsencode(WHITEOUT_PREFIX + name)
