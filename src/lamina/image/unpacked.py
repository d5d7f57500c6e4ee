"""Unpacking an archive into a directory of the tree, as a process would that is chrooted to that directory.

Every member's parent is resolved inside the destination, links that the archive brought along included, so no name
leads out. What exists gives way, except that directories merge. The archive's own `.` says nothing about the
destination.
"""

from __future__ import annotations

import errno
import os
import tarfile
from typing import BinaryIO, cast

from lamina.diagnostics import BuildFailure
from lamina.image.archive import Damaged, TooLarge, members, mtime_ns
from lamina.image.entries import Attributes, write_file, write_link, write_special
from lamina.image.rootfs import Node
from lamina.image.upper import Directory, NewDirectory, Upper
from lamina.ports.layers import Limits

_XATTR = "SCHILY.xattr."
_IMPLIED = NewDirectory(0, 0)  # directories that the archive left out are root's, whatever --chown says
_MAX_ID = (1 << 32) - 2  # the number above means "leave the owner" to chown


def unpack(
    archive: tarfile.TarFile, name: str, upper: Upper, dest: str, owner: tuple[int, int] | None, limits: Limits
) -> None:
    """Unpack into the canonical directory `dest`; `owner` replaces every member's, `name` is for messages.

    Raises BuildFailure `step-add-archive` for a damaged or hostile archive, `image-too-large` for one that goes beyond
    the limits, and OSError.
    """
    try:
        unpack_members(archive, upper, dest, owner, limits)
    except TooLarge as error:
        raise BuildFailure(
            "image-too-large",
            f"the archive {name!r} is larger than what lamina unpacks",
            cause=str(error),
            hint="unpack it with RUN tar instead if you trust where it comes from",
        ) from error
    except Damaged as error:
        raise BuildFailure(
            "step-add-archive",
            f"the archive {name!r} cannot be unpacked",
            cause=str(error),
            hint="if it is to be copied as the file that it is, use COPY instead of ADD",
        ) from error


def unpack_members(
    archive: tarfile.TarFile,
    upper: Upper,
    dest: str,
    owner: tuple[int, int] | None,
    limits: Limits,
    *,
    devices: bool = True,
) -> None:
    """What `unpack` does; without `devices`, device nodes are passed over. Raises Damaged and OSError."""
    unpacker = _Unpacker(archive, upper, dest, owner)
    try:
        for member in members(archive, limits):
            if devices or not (member.ischr() or member.isblk()):
                unpacker.put(member)
        unpacker.finish()
    except (tarfile.TarError, ValueError, OverflowError) as error:
        # The last two: names with zero bytes, and numbers that no system call takes.
        raise Damaged(str(error)) from error


class _Unpacker:
    """One archive under way."""

    def __init__(self, archive: tarfile.TarFile, upper: Upper, dest: str, owner: tuple[int, int] | None) -> None:
        self._archive, self._upper, self._dest, self._owner = archive, upper, dest, owner
        #: Canonical directories by the name that members use. All exist, so only a replacement changes what one means.
        self._parents: dict[str, str] = {}
        self._described: dict[str, Attributes] = {}

    def put(self, member: tarfile.TarInfo) -> None:
        """Unpack one member."""
        parent, name = _split(member.name)
        if not name:
            return
        canonical = self._parents.get(parent)
        if canonical is None:
            canonical = self._parents[parent] = self._upper.view.walk(parent, within=self._dest).path
        attributes = self._attributes(member)
        directory = self._upper.open(canonical, _IMPLIED)
        if member.isdir():
            self._put_directory(directory, name, attributes)
            return
        if member.islnk():
            self._put_hard_link(directory, name, member, attributes)
            return
        self._clear(directory, name)
        if member.isreg():
            stream = self._archive.extractfile(member)
            write_file(directory, name, cast("BinaryIO", stream), member.size, attributes, sparse=member.issparse())
        elif member.issym():
            write_link(directory, name, member.linkname, attributes)
        elif member.isfifo() or member.isdev():
            kind = "fifo" if member.isfifo() else "char" if member.ischr() else "block"
            device = "" if member.isfifo() else f"{member.devmajor}:{member.devminor}"
            write_special(directory, name, kind, device, attributes)
        else:
            raise Damaged(f"{member.name!r} is of the unknown kind {member.type!r}")

    def finish(self) -> None:
        """Give directories their attributes, deepest first: filling them changed their times."""
        for path in sorted(self._described, key=len, reverse=True):
            self._described[path].apply(self._upper.open(path, _IMPLIED).fd)

    def _put_directory(self, directory: Directory, name: str, attributes: Attributes) -> None:
        path = directory.child_path(name)[1:]
        node = self._upper.view.walk(path, follow=False).node
        if node is not None and not node.is_dir:
            self._parents.clear()
        self._upper.open(path, _IMPLIED, replace=True)
        self._described[path] = attributes

    def _put_hard_link(self, directory: Directory, name: str, member: tarfile.TarInfo, attributes: Attributes) -> None:
        """Another name; as in BuildKit its header has its say on the file."""
        parent, first = _split(member.linkname)
        path = self._upper.view.walk(parent, within=self._dest).path
        found = self._upper.view.walk(f"{path}/{first}" if path else first, follow=False)
        if not first or found.node is None or found.node.is_dir or found.path == directory.child_path(name)[1:]:
            raise Damaged(f"{member.name!r} is a hard link to {member.linkname!r}, which is no file")
        source = self._upper.open(path, _IMPLIED)
        if not self._upper.holds(found.node):
            self._copy_up(source, first, found.node)
        self._clear(directory, name)
        os.link(first, name, src_dir_fd=source.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
        if found.node.is_file:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory.fd)
            try:
                # Mostly they say the same, and a chown for nothing would take a file's capabilities away.
                if attributes.xattrs or not attributes.hold(os.fstat(descriptor)):
                    attributes.apply(descriptor)
            finally:
                os.close(descriptor)

    def _copy_up(self, directory: Directory, name: str, node: Node) -> None:
        """Overlayfs' copy up of a file or link, which a hard link to it needs."""
        info = node.stat
        xattrs = () if node.is_link else tuple((key, os.getxattr(node.real, key)) for key in os.listxattr(node.real))
        attributes = Attributes(info.st_mode & 0o7777, info.st_uid, info.st_gid, info.st_mtime_ns, xattrs)
        before = os.fstat(directory.fd)
        if node.is_link:
            write_link(directory, name, os.readlink(node.real), attributes)
        elif node.is_file:
            with self._upper.view.open(node) as stream:
                write_file(directory, name, stream, info.st_size, attributes)
        else:
            raise OSError(errno.EINVAL, "a hard link to a device of the layers below", directory.child_path(name))
        os.utime(directory.fd, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _clear(self, directory: Directory, name: str) -> None:
        mine = directory.lstat(name)
        if mine is None:
            # A link or directory of the layers below is hidden all the same by what comes in its place.
            if name in directory.lower_names:
                self._parents.clear()
            return
        self._parents.clear()
        gone = directory.child_path(name)[1:]
        for path in [path for path in self._described if path == gone or path.startswith(gone + "/")]:
            del self._described[path]
        self._upper.remove(directory, name)

    def _attributes(self, member: tarfile.TarInfo) -> Attributes:
        uid, gid = self._owner or (member.uid, member.gid)
        if not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
            raise Damaged(f"{member.name!r} belongs to {uid}:{gid}")
        xattrs = tuple(
            (key[len(_XATTR) :], value.encode("utf-8", "surrogateescape"))
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        )
        return Attributes(member.mode & 0o7777, uid, gid, mtime_ns(member), xattrs)


def _split(name: str) -> tuple[str, str]:
    """A member's name as parent and last component, cleaned; both empty for the root.

    Raises Damaged if it leads out.
    """
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise Damaged(f"the name {name!r} leads out of the archive")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts[:-1]), parts[-1] if parts else ""
