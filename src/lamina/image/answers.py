"""What one layer's directory answers to looks: asked when a step was observed, and again of another layer in its place.

Equal answers mean that a step which looked sees the same. So an answer holds all that a look can show (for an `entry`:
type, permission bits, owner, size, device, modification time) and nothing that differs without being shown, or that the
file systems of an observed step never show: inode numbers, link counts, other times, sizes of directories. Overlayfs'
marks count as what the kernel takes them for (see `rootfs`): a whiteout in either form is one answer.

Names are hostile: every component is opened by itself, and no link is ever followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.image.rootfs import is_whiteout
from lamina.image.xattrs import Namespace, opaque_name
from lamina.keys.looks import ANSWER, Look

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN = 64  # far below the usual limit of 1024 descriptors, far above the depth of usual trees

#: A path that leads through something else than directories, or is longer than a name may be, is not there.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_NO_ATTRIBUTE = frozenset({errno.ENODATA, errno.ENOTSUP})
_NOT_A_NAME = frozenset({"", ".", ".."})


def answers(layer: Path, looks: Sequence[Look], contents: Mapping[str, str], namespace: Namespace = "trusted") -> bytes:
    """The answers of the layer at `layer` to `looks`, `ANSWER` bytes each. Looks that are sorted are answered fastest.

    `contents` are the hex SHA-256 of regular files that are known already, by path; other files are read. `namespace`
    is that of overlayfs' marks. Raises BuildFailure `image-layer-unreadable`.
    """
    found = bytearray()
    path = ""
    try:
        with _Layer(layer, namespace) as opened:
            for look in looks:
                path = look.path
                found += hashlib.sha256(opened.shows(look, contents)).digest()[:ANSWER]
    except OSError as error:
        where = path.encode("utf-8", "backslashreplace").decode()
        raise BuildFailure(
            "image-layer-unreadable", f"cannot read /{where} of a layer", cause=error.strerror or str(error)
        ) from error
    return bytes(found)


class _Layer:
    """A layer's directory, some of its directories held open, and the entry that was looked at last."""

    def __init__(self, layer: Path, namespace: Namespace) -> None:
        self._opaque = opaque_name(namespace)
        self._private = f"{namespace}.overlay."
        self._root = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        #: Path → descriptor, None for what is no directory; those used last at the end.
        self._open: OrderedDict[str, int | None] = OrderedDict()
        self._path: str | None = None
        self._above = self._root
        self._name = ""
        self._stat: os.stat_result | None = None

    def __enter__(self) -> _Layer:
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in (self._root, *self._open.values()):
            if descriptor is not None:
                os.close(descriptor)

    def shows(self, look: Look, contents: Mapping[str, str]) -> bytes:
        """All that a look can tell, with its kind, so that no two different sights give the same bytes."""
        if look.path != self._path:
            self._find(look.path)
        info = self._stat
        match look.kind:
            case "entry":
                return b"entry " + self._entry(info)
            case "read":
                content = self._content(look.path, contents) if info and stat.S_ISREG(info.st_mode) else "none"
                return f"read {content}".encode()
            case "list":
                return b"list " + (self._names() if info and stat.S_ISDIR(info.st_mode) else b"none")
            case "link":
                target = (
                    b"to " + os.fsencode(os.readlink(self._name, dir_fd=self._above)) if _is_link(info) else b"none"
                )
                return b"link " + target
            case "xattrs":
                return b"xattrs " + (self._attributes() if info else b"none")

    # --- the five kinds ----------------------------------------------------------------------------------------------
    def _entry(self, info: os.stat_result | None) -> bytes:
        if info is None:
            return b"absent"
        kind = stat.S_IFMT(info.st_mode)
        size, changed, mark = info.st_size, info.st_mtime_ns, b""
        if is_whiteout(info) or (kind == stat.S_IFREG and not size and self._is_marked_whiteout()):
            return b"whiteout"
        if kind == stat.S_IFDIR:
            size = 0
            if self._path:
                mark = self._attribute(f"{self._above}/{self._name}", self._opaque) or b""
            else:
                # Of the layers' roots overlayfs shows the topmost one's times, and that is never a copied layer's.
                changed = 0
        elif kind != stat.S_IFREG and kind != stat.S_IFLNK:
            size = 0
        numbers = f"{info.st_mode:o} {info.st_uid} {info.st_gid} {size} {info.st_rdev} {changed} "
        return numbers.encode() + mark

    def _content(self, path: str, contents: Mapping[str, str]) -> str:
        known = contents.get(path)
        if known is not None:
            return known
        with os.fdopen(os.open(self._name, _READ, dir_fd=self._above), "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _names(self) -> bytes:
        descriptor = os.open(self._name, _LIST, dir_fd=self._above)
        try:
            with os.scandir(descriptor) as entries:
                names = sorted(os.fsencode(entry.name) + b"/" + _kind(entry) for entry in entries)
        finally:
            os.close(descriptor)
        return b"\0".join(names)

    def _attributes(self) -> bytes:
        place = f"/proc/self/fd/{self._above}/{self._name}"
        try:
            names = sorted(os.listxattr(place, follow_symlinks=False))
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTE:
                raise
            names = []
        shown = bytearray()
        for name in names:
            if not name.startswith(self._private):  # overlayfs hides its own; those that it obeys are in `entry`
                value = os.getxattr(place, name, follow_symlinks=False)
                shown += b"%d:%b %d:%b " % (len(os.fsencode(name)), os.fsencode(name), len(value), value)
        return bytes(shown)

    # --- finding -----------------------------------------------------------------------------------------------------
    def _find(self, path: str) -> None:
        """Make `path` the entry that is looked at."""
        parent, _, name = path.rpartition("/")
        above = self._directory(parent)
        self._path, self._stat = path, None
        if path == "":
            self._above, self._name, self._stat = self._root, ".", os.fstat(self._root)
        elif above is not None and name not in _NOT_A_NAME:
            self._above, self._name = above, name
            try:
                self._stat = os.lstat(name, dir_fd=above)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise

    def _directory(self, path: str) -> int | None:
        if not path:
            return self._root
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        missing = [path]
        while (above := missing[-1].rpartition("/")[0]) and above not in self._open:
            missing.append(above)
        current = self._open[above] if above else self._root
        for one in reversed(missing):
            current = _descend(current, one.rpartition("/")[2])
            self._open[one] = current
            if len(self._open) > _KEPT_OPEN:
                _, oldest = self._open.popitem(last=False)
                if oldest is not None:
                    os.close(oldest)
        return current

    def _is_marked_whiteout(self) -> bool:
        """The other form of a whiteout: see `rootfs.Rootfs`."""
        if self._attribute(str(self._above), self._opaque) != b"x":
            return False
        return self._attribute(f"{self._above}/{self._name}", self._private + "whiteout") is not None

    @staticmethod
    def _attribute(place: str, name: str) -> bytes | None:
        try:
            # A bare descriptor is itself a link, to the directory that it is; behind it nothing is followed.
            return os.getxattr(f"/proc/self/fd/{place}", name, follow_symlinks="/" not in place)
        except OSError as error:
            if error.errno not in _NO_ATTRIBUTE:
                raise
            return None


def _descend(current: int | None, name: str) -> int | None:
    if current is None or name in _NOT_A_NAME:
        return None
    try:
        return os.open(name, _DIRECTORY, dir_fd=current)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return None


def _is_link(info: os.stat_result | None) -> bool:
    return info is not None and stat.S_ISLNK(info.st_mode)


def _kind(entry: os.DirEntry[str]) -> bytes:
    """An entry's type as one letter, without a system call for files, directories and links."""
    if entry.is_file(follow_symlinks=False):
        return b"f"
    if entry.is_dir(follow_symlinks=False):
        return b"d"
    if entry.is_symlink():
        return b"l"
    info = entry.stat(follow_symlinks=False)
    return b"w" if is_whiteout(info) else b"%o" % stat.S_IFMT(info.st_mode)
