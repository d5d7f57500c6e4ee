"""Archives that ADD unpacks: recognised by their content, read as a stream, never past damage in silence.

They are tar, plain or in gzip, bzip2, xz or zstd. Unlike the layers of images they come from everyday tools, so the
standard library's reader takes them, sparse files and old formats included; its leniency is mended here.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol, cast

from lamina.image.archiveheaders import Archive, Header
from lamina.ports.layers import Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAGIC_SIZE = 6
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Damaged(Exception):
    """An archive that cannot be unpacked; its text says why."""


class TooLarge(Damaged):
    """An archive that is not unpacked because of its size."""


class _Replayed(io.RawIOBase):
    """A stream whose first bytes were read already. Closing it leaves the stream open, which is not ours."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._head[: len(view)] or self._rest.read(len(view))
        self._head = self._head[len(view) :]
        view[: len(data)] = data
        return len(data)


class _Unpacked:
    """The tar's own bytes. What a decompressor raises for bad data becomes `tarfile.ReadError`."""

    def __init__(self, stream: BinaryIO) -> None:
        head = stream.read(_MAGIC_SIZE)
        self._stream, self._errors = _decompressor(head, io.BufferedReader(_Replayed(head, stream)))

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except self._errors as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the data's
            raise tarfile.ReadError(f"damaged compression: {error}") from error


def _decompressor(head: bytes, source: BinaryIO) -> tuple[_Readable, tuple[type[Exception], ...]]:
    """A reader of what comes out, and the errors by which it calls its input damaged."""
    if head.startswith(b"\x1f\x8b\x08"):
        from isal import igzip, igzip_lib

        stream: _Readable = igzip.IGzipFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]
        return stream, (OSError, EOFError, cast("type[Exception]", igzip_lib.error))
    if head.startswith(b"BZh"):
        import bz2

        return bz2.BZ2File(source), (OSError, EOFError)
    if head.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return lzma.LZMAFile(source), (lzma.LZMAError, EOFError)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True, closefd=False)
        return reader, (zstandard.ZstdError,)
    return source, ()


@contextmanager
def open_archive(stream: BinaryIO) -> Iterator[tarfile.TarFile | None]:
    """The archive in `stream`, to be read once. None, as in BuildKit, if its content is none, an empty one, or so
    damaged that not even the first member's header can be read."""
    try:
        archive = Archive.open(
            fileobj=cast("IO[bytes]", _Unpacked(stream)),
            mode="r|",
            tarinfo=Header,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except (tarfile.TarError, ValueError, OverflowError):
        # The last two: numbers in a sparse file's map or an extended header that are none.
        yield None
        return
    with archive:
        yield archive if archive.firstmember is not None else None  # type: ignore[attr-defined]


def members(archive: tarfile.TarFile, limits: Limits) -> Iterator[tarfile.TarInfo]:
    """The members in order; the current one's content can be read until the next is asked for. Raises Damaged."""
    count = size = 0
    try:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            count, size = count + 1, size + member.size
            if count > limits.max_layer_entries:
                raise TooLarge(f"it has more than {limits.max_layer_entries} entries")
            if size > limits.max_layer_bytes:
                raise TooLarge(f"its files have more than {limits.max_layer_bytes} bytes once unpacked")
            yield member
    except tarfile.TarError as error:
        raise Damaged(str(error)) from error


def mtime_ns(member: tarfile.TarInfo) -> int:
    """When a member was last modified; 0 for a time that no 64-bit number of nanoseconds since 1970 can tell, as in
    Docker. PAX has decimals that the float of `tarfile` loses."""
    seconds, _, fraction = member.pax_headers.get("mtime", "").partition(".")
    if not seconds.isascii() or not seconds.isdigit():
        seconds, fraction = str(int(member.mtime)), ""
    if not fraction.isascii() or not fraction.isdigit():
        fraction = ""
    if not _LEAST <= int(seconds) <= _MOST:
        raise Damaged(f"{member.name!r} has the time {seconds}")
    time = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    return time if 0 <= time <= _MOST else 0
