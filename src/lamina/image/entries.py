"""Creating single entries in an open directory of the upper layer: the system calls, and the order that they need.

Owner before mode (chown clears setuid), both before xattrs (chown clears capabilities), times last.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from msgspec import Struct

from lamina.image.upper import Directory
from lamina.image.xattrs import belongs_to_image

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_BLOCK = 1 << 16
_TYPES = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK}


class Attributes(Struct, frozen=True, gc=False):
    """What an entry gets besides its content. Attributes that do not belong to an image are left out silently: a
    context or an archive must not be able to write overlayfs' own marks."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def hold(self, info: os.stat_result) -> bool:
        """Whether an entry has them already; extended attributes are not looked at."""
        mine = (self.mode, self.uid, self.gid, self.mtime_ns)
        return mine == (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns)

    def apply(self, descriptor: int) -> None:
        """Give them to an open file or directory."""
        os.fchown(descriptor, self.uid, self.gid)
        os.fchmod(descriptor, self.mode)
        for name, value in self.xattrs:
            if belongs_to_image(name):
                os.setxattr(descriptor, name, value)
        os.utime(descriptor, ns=(self.mtime_ns, self.mtime_ns))


def write_file(
    directory: Directory, name: str, stream: BinaryIO, size: int, attributes: Attributes, *, sparse: bool = False
) -> None:
    """Create a regular file from `stream`. `size` is what is expected, and only decides how it is copied; `sparse`
    makes holes of the zeros that a stream without a file of its own gives."""
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=directory.fd)
    try:
        if sparse:
            _copy_sparse(stream, descriptor)
        else:
            _copy(stream, descriptor, size)
        attributes.apply(descriptor)
    finally:
        os.close(descriptor)


def write_link(directory: Directory, name: str, target: str, attributes: Attributes) -> None:
    """Create a symbolic link, whose target is data here and nothing more."""
    os.symlink(target, name, dir_fd=directory.fd)
    os.chown(name, attributes.uid, attributes.gid, dir_fd=directory.fd, follow_symlinks=False)
    times = (attributes.mtime_ns, attributes.mtime_ns)
    os.utime(name, ns=times, dir_fd=directory.fd, follow_symlinks=False)


def write_special(directory: Directory, name: str, kind: str, device: str, attributes: Attributes) -> None:
    """Create a fifo, or a `char` or `block` device `major:minor`.

    Raises OSError EINVAL for the device 0:0, which would delete a file of the layers below.
    """
    major, _, minor = device.partition(":")
    number = os.makedev(int(major), int(minor)) if device else 0
    if kind == "char" and number == 0:
        raise OSError(errno.EINVAL, "a character device 0:0 marks deleted files", directory.child_path(name))
    os.mknod(name, _TYPES[kind] | 0o600, number, dir_fd=directory.fd)
    os.chown(name, attributes.uid, attributes.gid, dir_fd=directory.fd, follow_symlinks=False)
    os.chmod(name, attributes.mode, dir_fd=directory.fd)
    os.utime(name, ns=(attributes.mtime_ns, attributes.mtime_ns), dir_fd=directory.fd)


def _copy(stream: BinaryIO, target: int, size: int) -> None:
    if size > _CHUNK:
        try:
            source = stream.fileno()
        except (OSError, AttributeError):  # no file of its own (tarfile has no such method), or one to be read only
            pass
        else:
            _copy_extents(source, target)
            return
    # One byte more than expected, so that a small file is read to its end by one call.
    while data := stream.read(min(size + 1, _CHUNK)):
        _write(target, data)


def _copy_sparse(stream: BinaryIO, target: int) -> None:
    size = 0
    while data := stream.read(_BLOCK):
        if any(data):
            _write(target, data)
        else:
            os.lseek(target, len(data), os.SEEK_CUR)
        size += len(data)
    os.ftruncate(target, size)


def _write(target: int, data: bytes) -> None:
    written = os.write(target, data)
    while written < len(data):
        written += os.write(target, memoryview(data)[written:])


def _copy_extents(source: int, target: int) -> None:
    """Copy a large file inside the kernel, and its data only: holes stay holes."""
    size, offset = os.fstat(source).st_size, 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole up to the end
                raise
            break
        offset = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, offset)
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            count = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            count = os.pwrite(target, os.pread(source, min(end - start, _CHUNK), start), start)
        if count == 0:
            return  # cut shorter meanwhile: whoever gave the file notices
        start += count
