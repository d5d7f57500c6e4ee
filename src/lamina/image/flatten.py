"""The merged root file system of a stack of layers, as a plain tar (`-o type=tar`) or a directory (`-o type=local`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.image.latest import Latest
from lamina.image.rootfs import Node, Rootfs
from lamina.image.tarheader import DIRECTORY, FILE, SYMLINK, entry_blocks
from lamina.image.tarstream import EntryWriter, Sink, TarStream, shown
from lamina.image.tarwrite import LayerStats
from lamina.image.xattrs import Namespace, read_attributes, set_attributes

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


def flatten_to_tar(layers: Sequence[Path], sink: Sink, xattr_namespace: Namespace = "trusted") -> LayerStats:
    """Write what a container would see of `layers` (topmost first), in the order and form of a layer's tar.

    Raises BuildFailure as `write_layer` does.
    """
    return flatten_several_to_tar({"": layers}, sink, xattr_namespace)


def flatten_several_to_tar(
    stacks: Mapping[str, Sequence[Path]], sink: Sink, xattr_namespace: Namespace = "trusted"
) -> LayerStats:
    """The same for several stacks in one tar, each below a directory of its name (empty: at the top)."""
    stream, size = TarStream(sink), 0
    for folder, layers in stacks.items():
        writer = EntryWriter(stream)  # of its own: no hard link leads from one stack into another
        prefix = os.fsencode(f"{folder}/") if folder else b""
        if prefix:
            stream.header(entry_blocks(prefix, DIRECTORY, 0o755, 0, 0, 0, 0))
        latest = Latest(layers, xattr_namespace)
        for path, node in _merged(Rootfs(layers, xattr_namespace)):
            if node is None:
                continue
            writer.latest = latest.of(node.real)
            name = prefix + os.fsencode(path)
            try:
                _write_entry(writer, name, node, xattr_namespace)
            except OSError as error:
                raise BuildFailure(
                    "image-layer-unreadable", f"cannot read {shown(name)} of a layer", cause=error.strerror
                ) from error
        size += writer.size
    stream.end()
    return LayerStats(stream.entries, size, stream.written)


def flatten_to_directory(
    layers: Sequence[Path], target: Path, xattr_namespace: Namespace = "trusted", *, keep_owners: bool
) -> None:
    """Copy what a container would see of `layers` below `target`, which is made if missing; other files there stay.

    With `keep_owners` (root) owners, devices and capabilities are kept. Without, everything belongs to the caller:
    devices are left out, and set-uid and set-gid bits dropped, for they would lend the caller's rights to others.
    Nothing that lies in `target` is followed or written through. Raises BuildFailure `image-output-conflict` where a
    directory would have to be deleted, `image-output-failed` for errors of the file system.
    """
    path = ""
    copier = _Copier(target, keep_owners, Latest(layers, xattr_namespace))
    try:
        copier.start()
        for path, node in _merged(Rootfs(layers, xattr_namespace)):
            if node is None:
                copier.leave()
            else:
                copier.add(path, node)
    except OSError as error:
        raise BuildFailure(
            "image-output-failed", f"cannot write {path!r} below {str(target)!r}", cause=error.strerror
        ) from error
    finally:
        copier.close()


def _merged(rootfs: Rootfs) -> Iterator[tuple[str, Node | None]]:
    """Every entry but the root, depth first in the order of `tarwrite`; (path, None) after a directory's last."""
    stack: list[tuple[str, tuple[str, ...], list[str]]] = [("", rootfs.dirs, _names(rootfs, rootfs.dirs))]
    while stack:
        parent, dirs, left = stack[-1]
        if not left:
            stack.pop()
            if stack:
                yield parent, None
            continue
        name = left.pop()
        node = rootfs.child(dirs, name)
        if node is None:
            continue
        path = f"{parent}/{name}" if parent else name
        yield path, node
        if node.is_dir:
            stack.append((path, node.dirs, _names(rootfs, node.dirs)))


def _names(rootfs: Rootfs, dirs: tuple[str, ...]) -> list[str]:
    """The names in a merged directory, the first one last."""
    listing = rootfs.listing(dirs)
    return sorted(listing, key=lambda name: os.fsencode(name) + (b"/" if listing[name] else b""), reverse=True)


def _write_entry(writer: EntryWriter, path: bytes, node: Node, namespace: Namespace) -> None:
    if node.is_dir:
        descriptor = os.open(node.real, _DIRECTORY)
        try:
            writer.header(path + b"/", DIRECTORY, node.stat, xattrs=read_attributes(descriptor, namespace).kept)
        finally:
            os.close(descriptor)
    elif stat.S_ISSOCK(node.stat.st_mode) or writer.hard_link(path, node.stat):
        return
    elif node.is_link:
        writer.header(path, SYMLINK, node.stat, link=os.readlink(os.fsencode(node.real)))
    elif node.is_file:
        descriptor = os.open(node.real, _READ)
        try:
            size = node.stat.st_size
            writer.header(path, FILE, node.stat, size=size, xattrs=read_attributes(descriptor, namespace).kept)
            writer.content(descriptor, path, size)
        finally:
            os.close(descriptor)
    else:
        writer.special(path, node.stat)


class _Copier:
    def __init__(self, target: Path, keep_owners: bool, latest: Latest) -> None:
        self._target = target
        self._latest = latest
        self._keep_owners = keep_owners
        #: Open directories from the target down, each with what it gets when it is left.
        self._open: list[tuple[int, Node | None]] = []
        self._first: dict[tuple[int, int], str] = {}

    def start(self) -> None:
        self._target.mkdir(parents=True, exist_ok=True)
        self._open.append((os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), None))

    def add(self, path: str, node: Node) -> None:
        directory, name = self._open[-1][0], path.rpartition("/")[2]
        if node.is_dir:
            self._enter(directory, name, node)
            return
        info = node.stat
        if stat.S_ISSOCK(info.st_mode) or (_is_device(info) and not self._keep_owners):
            return
        self._make_way(directory, name, path)
        if info.st_nlink > 1:
            first = self._first.setdefault((info.st_dev, info.st_ino), path)
            if first is not path and self._link(first, directory, name):
                return
        if node.is_file:
            self._file(directory, name, node)
            return
        if node.is_link:
            os.symlink(os.readlink(node.real), name, dir_fd=directory)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=directory)
        if self._keep_owners:
            os.chown(name, info.st_uid, info.st_gid, dir_fd=directory, follow_symlinks=False)
        if not node.is_link:
            os.chmod(name, self._mode(info), dir_fd=directory)
        os.utime(name, ns=self._times(node), dir_fd=directory, follow_symlinks=False)

    def leave(self) -> None:
        """Mode and times come when a directory is full: it may be one that its owner cannot write to."""
        descriptor, node = self._open.pop()
        try:
            if node is not None:
                self._finish(descriptor, node)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        for descriptor, _ in self._open:
            os.close(descriptor)

    def _enter(self, parent: int, name: str, node: Node) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        self._open.append((descriptor, node))
        os.fchmod(descriptor, 0o700)

    def _make_way(self, directory: int, name: str, path: str) -> None:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return
        except IsADirectoryError as error:
            raise BuildFailure(
                "image-output-conflict",
                f"the output has a directory {path!r} where the image has none",
                hint="write to an empty directory, or delete that one",
            ) from error

    def _link(self, first: str, directory: int, name: str) -> bool:
        """Link to a name written before; False if something is in the way, so that a copy is made instead."""
        try:
            root = self._open[0][0]
            os.link(first, name, src_dir_fd=root, dst_dir_fd=directory, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _file(self, directory: int, name: str, node: Node) -> None:
        source = os.open(node.real, _READ)
        try:
            target = os.open(name, _CREATE, 0o600, dir_fd=directory)
            try:
                while piece := os.read(source, _CHUNK):
                    written = os.write(target, piece)
                    while written < len(piece):
                        written += os.write(target, piece[written:])
                self._finish(target, node)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _finish(self, descriptor: int, node: Node) -> None:
        info = node.stat
        if self._keep_owners:
            os.fchown(descriptor, info.st_uid, info.st_gid)
        os.fchmod(descriptor, self._mode(info))
        names = [
            name
            for name in os.listxattr(node.real, follow_symlinks=False)
            if self._keep_owners or name.startswith("user.")
        ]
        set_attributes(descriptor, [(name, os.getxattr(node.real, name, follow_symlinks=False)) for name in names])
        os.utime(descriptor, ns=self._times(node))

    def _times(self, node: Node) -> tuple[int, int]:
        mtime = min(node.stat.st_mtime_ns, self._latest.of(node.real) * 1_000_000_000)
        return mtime, mtime

    def _mode(self, info: os.stat_result) -> int:
        return info.st_mode & (0o7777 if self._keep_owners else 0o1777)


def _is_device(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)
