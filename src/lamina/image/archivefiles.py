"""The files of an image archive, read by name, whether it is a directory or a tar.

In a tar, names are keys of a table and never become paths of this machine; in a directory every name is opened without
following links.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO, Protocol

from lamina.diagnostics import BuildFailure
from lamina.image.decompress import Decompressed, detect
from lamina.image.tarheader import FILE, HARDLINK, SYMLINK
from lamina.image.tarread import TarReader
from lamina.ports.layers import Limits

_CHUNK = 1 << 20
#: Archives hold a few files a layer; more than this is no image.
_MAX_FILES = 100_000
_MAX_LINKS = 8


class ImageFiles(Protocol):
    """An archive to read from."""

    def has(self, path: str) -> bool: ...
    def open(self, path: str) -> BinaryIO:
        """A file's bytes from the start. Raises BuildFailure `image-bad-archive` if it is missing or no file."""

    def close(self) -> None: ...


def open_image_files(path: Path, limits: Limits | None = None) -> ImageFiles:
    """Open a directory, or a tar file (also compressed with gzip or zstd, then unpacked to a temporary file first).

    Raises BuildFailure `image-bad-archive`, `image-bad-tar`, `image-bad-compression`, `image-too-large`.
    """
    try:
        if path.is_dir():
            return _DirectoryFiles(path)
        file = path.open("rb")
    except OSError as error:
        raise BuildFailure(
            "image-bad-archive", f"cannot open the image archive {str(path)!r}", cause=error.strerror
        ) from error
    return read_tar_files(file, limits)


def read_tar_files(file: BinaryIO, limits: Limits | None = None) -> ImageFiles:
    """The files of a tar in an open stream, which is closed with the result; a pipe is copied to a temporary file."""
    limit = (limits or Limits()).max_layer_bytes
    start = _first_bytes(file)
    compression = detect(start)
    if compression != "uncompressed" or not file.seekable():
        with file:
            file = _spooled(Decompressed(_Joined(start, file), compression, limit))
    else:
        file.seek(0)
    try:
        return _TarFiles(file)
    except BaseException:
        file.close()
        raise


class _Joined:
    """Bytes that were looked at already, then the rest of the stream."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int, /) -> bytes:
        if self._start:
            start, self._start = self._start, b""
            return start
        return self._rest.read(size)


def _first_bytes(file: BinaryIO) -> bytes:
    start = b""
    while len(start) < 4 and (more := file.read(4 - len(start))):
        start += more
    return start


def _spooled(source: Decompressed) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        while piece := source.read(_CHUNK):
            copy.write(piece)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


class _DirectoryFiles:
    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def has(self, path: str) -> bool:
        try:
            self.open(path).close()
        except BuildFailure:
            return False
        return True

    def open(self, path: str) -> BinaryIO:
        *above, name = _clean(path).split("/")
        at = os.dup(self._root)
        try:
            for part in above:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                os.close(at)
                at = inner
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        except OSError as error:
            raise _missing(path, error.strerror) from error
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _missing(path, "not a regular file")
        return os.fdopen(descriptor, "rb")

    def close(self) -> None:
        os.close(self._root)


class _TarFiles:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        end = os.fstat(file.fileno()).st_size
        reader = TarReader(file, _MAX_FILES, skip=lambda size: file.seek(size, os.SEEK_CUR))
        for entry in reader:
            name = _clean(os.fsdecode(entry.name))
            link = os.fsdecode(entry.link)
            self._places.pop(name, None)
            self._links.pop(name, None)
            if entry.kind == FILE:
                if reader.offset + entry.size > end:
                    raise BuildFailure("image-bad-tar", "an image archive is damaged", cause="it ends too early")
                self._places[name] = reader.offset, entry.size
            elif entry.kind == HARDLINK:
                self._links[name] = _clean(link)
            elif entry.kind == SYMLINK:
                # `docker save` before version 25 links a layer that occurs twice.
                self._links[name] = _clean(posixpath.join(posixpath.dirname(name), link))

    def has(self, path: str) -> bool:
        return self._place(path) is not None

    def open(self, path: str) -> BinaryIO:
        place = self._place(path)
        if place is None:
            raise _missing(path, None)
        return io.BufferedReader(_Section(self._file, *place), 1 << 16)

    def close(self) -> None:
        self._file.close()

    def _place(self, path: str) -> tuple[int, int] | None:
        name = _clean(path)
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                break
            name = self._links[name]
        return self._places.get(name)


class _Section(io.RawIOBase):
    """A part of a file, independent of the file's own position."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        room = memoryview(buffer)[: max(0, self._end - self._at)]
        count = os.preadv(self._file.fileno(), [room], self._at) if len(room) else 0
        self._at += count
        return count


def _clean(path: str) -> str:
    """A name in one form; `..` is only worked out as text, for names are never opened outside their archive."""
    return posixpath.normpath("/" + path)[1:].lstrip("/")


def _missing(path: str, cause: str | None) -> BuildFailure:
    return BuildFailure("image-bad-archive", f"the image archive has no file {path!r}", cause=cause)
