"""The entries of a layer's tar become files of a layer directory (overlayfs' format), whatever the tar tries.

Names are taken as relative to the layer's root, absolute ones too; one with `..` is refused. A symbolic link on the way
is followed inside the root of the merged image, as containerd does it, so `lib/x` lands in `usr/lib` where `lib` is a
link. Every system call takes an open directory and one name and follows nothing, so nothing leads out of the root.
Rule: image-spec, layer.md, "Whiteouts" and "Applying Changesets".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import TypeVar

from lamina.diagnostics import BuildFailure
from lamina.image.rootfs import Node, Rootfs
from lamina.image.tarheader import BLOCK, CHAR, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK
from lamina.image.tarread import TarEntry, TarReader
from lamina.image.upper import Directory, NewDirectory, Upper
from lamina.image.xattrs import Namespace, belongs_to_image, opaque_name, set_attributes
from lamina.ports.storing import Workspace

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: A directory that neither the tar nor a lower layer describes.
_IMPLICIT = NewDirectory(0, 0, 0o755)
_OPAQUE = ".wh..wh..opq"
#: Deleting a tree takes a Python frame and a descriptor a level, so a hostile depth would end the process instead.
_MAX_DEPTH = 400

_Made = TypeVar("_Made")


class LayerTarget:
    """The layer directory while it is filled: `prepare_root`, `add` for every entry, `set_directory_times`."""

    def __init__(self, upper: Upper, work: Workspace, namespace: Namespace, keep_owners: bool) -> None:
        self._upper = upper
        self._layers = work.layers
        self._below = Rootfs(work.layers, namespace)
        self._opaque = opaque_name(namespace)
        self._keep_owners = keep_owners
        #: The directory of the last entry: in most tars the next entry's, too.
        self._parent_name: str | None = None
        self._parent: Directory | None = None
        #: Canonical path → mtime; set last, because every entry changes its directory's time.
        self._times: dict[str, int] = {}

    def prepare_root(self) -> None:
        """Overlayfs shows the root's attributes from the upper directory: they start as those of the layer below."""
        root = self._upper.open("", _IMPLICIT).fd
        if not self._layers:
            os.fchmod(root, 0o755)
            return
        below = self._layers[0].stat()
        if self._keep_owners:
            os.fchown(root, below.st_uid, below.st_gid)
        os.fchmod(root, stat.S_IMODE(below.st_mode))
        self._times[""] = below.st_mtime_ns

    def add(self, entry: TarEntry, reader: TarReader) -> None:
        """Carry out one entry of the tar."""
        names = _components(entry.name, entry)
        if any(name.startswith(".wh.") for name in names):
            self._whiteout(entry, names)
        elif not names:
            if entry.kind != DIRECTORY:
                raise _unsafe(entry, "it would replace the root directory")
            self._finish_directory(self._upper.open("", _IMPLICIT), entry)
        elif entry.kind == DIRECTORY:
            self._directory(names, entry)
        else:
            parent = self._directory_of(names[:-1], entry)
            if entry.kind == FILE:
                self._file(parent, names[-1], entry, reader)
            elif entry.kind == HARDLINK:
                self._hard_link(parent, names[-1], entry)
            else:
                self._special(parent, names[-1], entry)

    def set_directory_times(self) -> None:
        for path, mtime in self._times.items():
            os.utime(self._upper.open(path, _IMPLICIT).fd, ns=(mtime, mtime))

    def _directory_of(self, names: list[str], entry: TarEntry) -> Directory:
        """The directory for an entry, made if missing; a link on the way leads to where it leads in the image."""
        name = "/".join(names)
        if self._parent is None or name != self._parent_name:
            try:
                self._parent = self._upper.open(self._upper.view.walk(name).path, _IMPLICIT)
            except NotADirectoryError as error:
                raise _unsafe(entry, f"{error.filename} on its way is not a directory") from error
            self._parent_name = name
        return self._parent

    def _directory(self, names: list[str], entry: TarEntry) -> None:
        parent = self._directory_of(names[:-1], entry)
        path = f"{parent.path}/{names[-1]}" if parent.path else names[-1]
        mine = parent.lstat(names[-1])
        if mine is not None and not stat.S_ISDIR(mine.st_mode):
            self._parent = None
        self._finish_directory(self._upper.open(path, _IMPLICIT, replace=True), entry)

    def _finish_directory(self, directory: Directory, entry: TarEntry) -> None:
        for name in os.listxattr(directory.fd):
            # Attributes that came up with a lower layer's directory: this entry states its own.
            if belongs_to_image(name) and name not in entry.xattrs:
                os.removexattr(directory.fd, name)
        self._finish(directory.fd, entry)
        self._times[directory.path] = entry.mtime_ns

    def _finish(self, descriptor: int, entry: TarEntry) -> None:
        """Owner first: changing it clears set-uid bits and capabilities."""
        if self._keep_owners:
            os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, entry.mode)
        if entry.xattrs:
            set_attributes(descriptor, entry.xattrs.items())

    def _file(self, parent: Directory, name: str, entry: TarEntry, reader: TarReader) -> None:
        descriptor = self._create(parent, name, lambda: os.open(name, _NEW_FILE, 0o600, dir_fd=parent.fd))
        try:
            _write(descriptor, reader.content())
            self._finish(descriptor, entry)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(descriptor)

    def _hard_link(self, parent: Directory, name: str, entry: TarEntry) -> None:
        target_names = _components(entry.link, entry)
        try:
            found = self._upper.view.walk("/".join(target_names), follow=False)
        except NotADirectoryError:
            found = None
        if found is None or found.node is None:
            raise BuildFailure(
                "image-bad-tar",
                f"the hard link {shown_name(entry.name)} of a layer leads to nothing",
                cause=f"there is no {shown_name(entry.link)}",
            )
        if found.node.is_dir:
            raise _unsafe(entry, "it is a hard link to a directory")
        above, _, base = found.path.rpartition("/")
        source = self._upper.open(above, _IMPLICIT)
        if not self._upper.holds(found.node):
            self._copy_up(source, base, found.node)
        if (source.path, base) != (parent.path, name):
            self._create(
                parent,
                name,
                lambda: os.link(base, name, src_dir_fd=source.fd, dst_dir_fd=parent.fd, follow_symlinks=False),
            )

    def _copy_up(self, directory: Directory, name: str, node: Node) -> None:
        """A lower layer's file moves up when it gets another name, as in overlayfs."""
        if node.is_link:
            os.symlink(os.readlink(node.real), name, dir_fd=directory.fd)
        elif node.is_file:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=directory.fd)
            try:
                with self._upper.view.open(node) as content:
                    _write(descriptor, iter(lambda: content.read(1 << 20), b""))
                    kept = [key for key in os.listxattr(content.fileno()) if belongs_to_image(key)]
                    xattrs = [(key, os.getxattr(content.fileno(), key)) for key in kept]
                if self._keep_owners:
                    os.fchown(descriptor, node.stat.st_uid, node.stat.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(node.stat.st_mode))
                set_attributes(descriptor, xattrs)
            finally:
                os.close(descriptor)
        else:
            os.mknod(name, node.stat.st_mode, node.stat.st_rdev, dir_fd=directory.fd)
        if self._keep_owners and not node.is_file:
            os.chown(name, node.stat.st_uid, node.stat.st_gid, dir_fd=directory.fd, follow_symlinks=False)
        times = (node.stat.st_mtime_ns, node.stat.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=directory.fd, follow_symlinks=False)

    def _special(self, parent: Directory, name: str, entry: TarEntry) -> None:
        """Links, pipes and devices."""
        if entry.kind == CHAR and entry.device == (0, 0):
            raise _unsafe(entry, "a character device 0:0 would delete a file of a lower layer without a whiteout")
        if entry.kind == SYMLINK:
            self._create(parent, name, lambda: os.symlink(os.fsdecode(entry.link), name, dir_fd=parent.fd))
            # It may stand on the way that the last directory was found.
            self._parent = None
        else:
            kind = {FIFO: stat.S_IFIFO, CHAR: stat.S_IFCHR, BLOCK: stat.S_IFBLK}[entry.kind]
            try:
                self._create(
                    parent, name, lambda: os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=parent.fd)
                )
            except PermissionError:
                # Only root makes devices; containers get their own /dev anyway. Rootless Docker skips them, too.
                return
        if self._keep_owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)
        if entry.kind != SYMLINK:
            # Right after its own creation with O_EXCL's meaning, so this follows no link.
            os.chmod(name, entry.mode, dir_fd=parent.fd)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent.fd, follow_symlinks=False)

    def _create(self, parent: Directory, name: str, make: Callable[[], _Made]) -> _Made:
        """Make something new at `name`; what an earlier entry (or whiteout) put there gives way."""
        try:
            return make()
        except FileExistsError:
            path = parent.child_path(name)[1:]
            self._upper.remove(parent, name)
            self._parent = None
            for gone in [known for known in self._times if known == path or known.startswith(path + "/")]:
                del self._times[gone]
            return make()

    def _whiteout(self, entry: TarEntry, names: list[str]) -> None:
        if any(name.startswith(".wh..wh.") and name != _OPAQUE for name in names):
            # Bookkeeping of aufs, which the specification reserves and every reader passes over.
            return
        *above, marker = names
        hidden = marker.removeprefix(".wh.")
        if any(name.startswith(".wh.") for name in above) or hidden in ("", ".", "..") or entry.kind == DIRECTORY:
            raise _unsafe(entry, "it is a malformed whiteout")
        parent = self._directory_of(above, entry)
        if marker != _OPAQUE:
            self._hide(parent, hidden)
        elif above:
            self._make_opaque(parent)
        else:
            # Overlayfs looks at no mark of the root, so everything below is hidden by name.
            for name in self._below.listing(self._below.dirs):
                self._hide(parent, name)

    def _hide(self, parent: Directory, name: str) -> None:
        """A whiteout deletes what lower layers have, never what this layer has (image-spec, layer.md, "Whiteouts")."""
        mine = parent.lstat(name)
        if mine is None:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent.fd)
        elif stat.S_ISDIR(mine.st_mode):
            self._make_opaque(self._upper.open(parent.child_path(name)[1:], _IMPLICIT))

    def _make_opaque(self, directory: Directory) -> None:
        os.setxattr(directory.fd, self._opaque, b"y")
        directory.lower = ()


def _components(name: bytes, entry: TarEntry) -> list[str]:
    """The names on a path, from the root. Refuses `..`, which no layer writer has a use for."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise _unsafe(entry, f"{shown_name(name)} leads upwards")
    if len(parts) > _MAX_DEPTH:
        raise _unsafe(entry, f"it lies more than {_MAX_DEPTH} directories deep")
    return [os.fsdecode(part) for part in parts]


def _write(descriptor: int, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        written = os.write(descriptor, piece)
        while written < len(piece):
            written += os.write(descriptor, piece[written:])


def shown_name(name: bytes) -> str:
    """An entry's name for messages."""
    return "'" + name.decode("utf-8", "backslashreplace") + "'"


def _unsafe(entry: TarEntry, cause: str) -> BuildFailure:
    return BuildFailure(
        "image-unsafe-layer",
        f"the entry {shown_name(entry.name)} of a layer is refused",
        cause=cause,
        hint="do not use this image unless you know why it has such an entry",
    )
