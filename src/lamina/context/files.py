"""Opening a context's files so that nothing but the files that the scan saw is ever read.

A file is opened by its name in its own directory, without following links, and the directory must be the inode that
the scan saw: swapping any part of the path for a link leads to an error, not out of the context.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from lamina.context.identity import identity_of, same_inode
from lamina.context.modes import Modes, git_mode
from lamina.context.scan import unreadable
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 1 << 20
_ROUNDS = 4
# Without O_NONBLOCK, a pipe that took the place of a file would stop the build for ever.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def changed(path: str, how: str) -> BuildFailure:
    return BuildFailure(
        "context-changed",
        f"{path!r} {how} while the build was reading the context",
        hint="build again when nothing writes to the context, or keep the file out with a line in .dockerignore",
    )


class Opener:
    """Opens files below `root`; `known` gives the identity that the scan noted for a directory.

    The last directory stays open: files come in path order, so most are opened with one system call.
    """

    def __init__(self, root: int, known: Callable[[str], bytes]) -> None:
        self._root = root
        self._known = known
        self._directory = ""
        self._descriptor = -1

    def open(self, path: str) -> int:
        """A descriptor of the file at `path`, which may be of any kind still.

        Raises BuildFailure `context-changed`, `context-unreadable`.
        """
        directory, _, name = path.rpartition("/")
        try:
            if not directory:
                return os.open(name, _OPEN_FILE, dir_fd=self._root)
            if directory != self._directory:
                self._enter(directory)
            return os.open(name, _OPEN_FILE, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise changed(path, "disappeared or became something else") from error
            raise unreadable(path, error.strerror) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._directory, self._descriptor = "", -1

    def _enter(self, directory: str) -> None:
        self.close()
        descriptor = os.open(directory, _OPEN_DIRECTORY, dir_fd=self._root)
        if not same_inode(self._known(directory), os.fstat(descriptor)):
            os.close(descriptor)
            raise changed(directory, "was replaced")
        self._directory, self._descriptor = directory, descriptor


def read_record(descriptor: int, record: FileRecord, mark: bytes, modes: Modes) -> tuple[FileRecord, bytes]:
    """Hash an open file: its record with content, and the identity that it had before and after.

    `mark` is the identity that it is expected to have. A file edited since the scan is fine, as the key will be made
    from what is read here; one that does not hold still is not. Raises BuildFailure `context-changed`, `-unreadable`.
    """
    size = record.size
    for _ in range(_ROUNDS):
        try:
            content = _hash(descriptor, size)
            xattrs = _xattrs(descriptor)
        except OSError as error:
            raise unreadable(record.path, error.strerror) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise changed(record.path, "became something else")
        now, size = identity_of(status), status.st_size
        if now == mark:
            mode = status.st_mode & 0o7777 if modes == "keep" else git_mode("file", status.st_mode)
            return FileRecord(record.path, "file", mode, size, content, xattrs=xattrs), now
        mark = now
        os.lseek(descriptor, 0, os.SEEK_SET)
    raise changed(record.path, "kept changing")


def _hash(descriptor: int, size: int) -> str:
    """The hex SHA-256 of what is left to read; one system call for a small file that is as long as expected."""
    data = os.read(descriptor, min(size + 1, _CHUNK))
    state = hashlib.sha256(data)
    while data and (size >= _CHUNK or len(data) > size):
        data = os.read(descriptor, _CHUNK)
        state.update(data)
    return state.hexdigest()


def _xattrs(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes that belong to a file's content: the user's own, and capabilities."""
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EBADF):
            return ()
        raise
    kept = sorted(name for name in names if name.startswith("user.") or name == "security.capability")
    return tuple((name, os.getxattr(descriptor, name)) for name in kept)


class VerifiedFile(io.FileIO):
    """A context file whose `close` raises BuildFailure `context-changed` if it was edited since it was digested."""

    def __init__(self, descriptor: int, path: str, mark: bytes) -> None:
        if identity_of(os.fstat(descriptor)) != mark:
            os.close(descriptor)
            raise changed(path, "was edited")
        super().__init__(descriptor, "rb")
        self._path = path
        self._mark = mark

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._check()
        finally:
            super().close()

    def _check(self) -> None:
        if identity_of(os.fstat(super().fileno())) != self._mark:
            raise changed(self._path, "was edited")


class RehashedFile(VerifiedFile):
    """The same for a racy file, of which the identity alone proves nothing: what is read is hashed again.

    It can only be read from start to end, and has no `fileno`, as bytes that the kernel copies would go unseen.
    """

    def __init__(self, descriptor: int, path: str, mark: bytes, content: str) -> None:
        self._content = content
        self._state = hashlib.sha256()
        super().__init__(descriptor, path, mark)

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().readall() if size is None or size < 0 else super().read(size)
        self._state.update(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = super().readinto(buffer)
        self._state.update(memoryview(buffer).cast("B")[:count])
        return count

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a racy file is read through `read` only")

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("a racy file is read from start to end")

    def _check(self) -> None:
        while self.read(_CHUNK):
            pass
        super()._check()
        if self._state.hexdigest() != self._content:
            raise changed(self._path, "was edited")
