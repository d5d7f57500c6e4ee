"""Linking files from an earlier layer. Layers are never written to once they are committed, so two may share a file.

Where times are kept, all that is the same in the earlier layer but for its modification time gets that of the earlier
layer, so that a fresh checkout of the same files gives the same layer.

Nothing is followed on the way to the earlier file: a link in that layer must not lead to a file of this machine.
"""

from __future__ import annotations

import os
import stat

from msgspec.structs import replace

from lamina.image.entries import Attributes
from lamina.image.upper import Directory, NewDirectory, Upper
from lamina.keys.filetree import FileRecord, kind_of
from lamina.ports.layers import Earlier

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class EarlierLayer:
    """An earlier layer at hand while files are placed. Use as a context manager."""

    def __init__(self, earlier: Earlier) -> None:
        self._contents = earlier.contents
        self.keeps_times = earlier.times
        self._root = os.open(earlier.layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path: str | None = None
        self._directory: int | None = None
        #: Inodes that have a name in the new layer. A second one would join what are two files now.
        self._shared: set[int] = set()

    def __enter__(self) -> EarlierLayer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        os.close(self._root)

    def link(self, directory: Directory, name: str, record: FileRecord, attributes: Attributes) -> bool:
        """Make `name` a link to the same path's file in the earlier layer, if that has this content and exactly these
        attributes. False, and nothing done, otherwise; the caller then writes the file."""
        if record.xattrs or not self._knows(directory, name, record):
            return False
        parent = self._enter(directory.path)
        if parent is None:
            return False
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if found.st_ino in self._shared or found.st_size != record.size:
                return False
            if found.st_mode != stat.S_IFREG | attributes.mode or not attributes.hold(found):
                return False
            os.link(name, name, src_dir_fd=parent, dst_dir_fd=directory.fd, follow_symlinks=False)
            self._shared.add(found.st_ino)
        except OSError:
            return False  # gone, or a file with too many links: it is written instead
        return True

    def timed(self, directory: Directory, name: str, record: FileRecord, attributes: Attributes) -> Attributes:
        """The attributes that anything but a directory is to get: with the earlier layer's time if that has the same
        at this path, with the same mode and owner."""
        parent = self._enter(directory.path)
        if parent is None:
            return attributes
        try:
            found = os.lstat(name, dir_fd=parent)
            if kind_of(found.st_mode) != record.kind:
                return attributes
            timed = replace(attributes, mtime_ns=found.st_mtime_ns)
            if record.kind == "link":
                owners = (found.st_uid, found.st_gid) == (attributes.uid, attributes.gid)  # links have no mode
                same = owners and os.readlink(name, dir_fd=parent) == record.target
            elif record.kind == "file":
                known = found.st_size == record.size and self._knows(directory, name, record)
                same = known and timed.hold(found)
            else:
                device = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
                same = record.target in ("", device) and timed.hold(found)
        except OSError:
            return attributes
        return timed if same else attributes

    def settle(self, upper: Upper, implied: NewDirectory) -> None:
        """Give every directory of the new layer the earlier one's time, if that has the same mode and owner. To be done
        last: filling a directory changes its time."""
        waiting = [""]
        while waiting:
            path = waiting.pop()
            before = self._enter(path)
            if before is None:
                continue  # nor is there anything below it
            directory = upper.open(path, implied)
            with os.scandir(directory.fd) as entries:
                below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            waiting += [f"{path}/{name}" if path else name for name in below]
            was, now = os.fstat(before), os.fstat(directory.fd)
            if (was.st_mode, was.st_uid, was.st_gid) == (now.st_mode, now.st_uid, now.st_gid):
                os.utime(directory.fd, ns=(was.st_mtime_ns, was.st_mtime_ns))

    def _knows(self, directory: Directory, name: str, record: FileRecord) -> bool:
        path = f"{directory.path}/{name}" if directory.path else name
        return self._contents.get(path) == record.content

    def _enter(self, path: str) -> int | None:
        if path != self._path:
            self._leave()
            self._path, self._directory = path, self._open(path)
        return self._directory

    def _open(self, path: str) -> int | None:
        current = os.open(".", _DIRECTORY, dir_fd=self._root)
        for part in filter(None, path.split("/")):
            try:
                below = os.open(part, _DIRECTORY, dir_fd=current)
            except OSError:
                return None
            finally:
                os.close(current)
            current = below
        return current

    def _leave(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None
