"""Linking files from an earlier layer. Layers are never written to once they are committed, so two may share a file.

Nothing is followed on the way to the earlier file: a link in that layer must not lead to a file of this machine.
"""

from __future__ import annotations

import os
import stat

from lamina.image.entries import Attributes
from lamina.image.upper import Directory
from lamina.keys.filetree import FileRecord
from lamina.ports import Earlier

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class EarlierLayer:
    """An earlier layer at hand while files are placed. Use as a context manager."""

    def __init__(self, earlier: Earlier) -> None:
        self._contents = earlier.contents
        self._root = os.open(earlier.layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = ""
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
        path = f"{directory.path}/{name}" if directory.path else name
        if record.xattrs or self._contents.get(path) != record.content:
            return False
        parent = self._enter(directory.path)
        if parent is None:
            return False
        try:
            found = os.lstat(name, dir_fd=parent)
            same = found.st_size == record.size and attributes.hold(found)
            if not stat.S_ISREG(found.st_mode) or not same or found.st_ino in self._shared:
                return False
            os.link(name, name, src_dir_fd=parent, dst_dir_fd=directory.fd, follow_symlinks=False)
            self._shared.add(found.st_ino)
        except OSError:
            return False  # gone, or a file with too many links: it is written instead
        return True

    def _enter(self, path: str) -> int | None:
        if self._directory is None or path != self._path:
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
