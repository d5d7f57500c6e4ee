"""Archives that ADD unpacks: recognised by their content, read as a stream, never past damage in silence.

They are tar, plain or in gzip, bzip2, xz or zstd. Unlike the layers of images they come from everyday tools, so the
standard library's reader takes them, sparse files and old formats included; its leniency is mended here.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, Protocol, cast

from lamina.diagnostics import BuildFailure
from lamina.ports import Defaults

_MAX_EXTENDED = 1 << 20  # of an extended header, which tarfile reads into memory; Go's reader has the same limit
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MAGIC_SIZE = 6


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Damaged(Exception):
    """An archive that cannot be unpacked; its text says why."""


class _Header(tarfile.TarInfo):
    """`tarfile` takes the first damaged header for the end of the archive; this one makes it an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not buf or not any(buf):
                raise  # the end, with or without its marker
            raise tarfile.ReadError(f"damaged header: {error}") from error
        if info.size < 0 or (info.type in _EXTENDED and info.size > _MAX_EXTENDED):
            raise tarfile.ReadError(f"a header states a size of {info.size} bytes")
        return info


class _Replayed:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        # No short read: igzip takes one for the end.
        head, self._head = self._head, b""
        return head + (self._rest.read(max(size - len(head), 0)) if size >= 0 else self._rest.read())


class _Unpacked:
    """The tar's own bytes. Whatever a decompressor raises for bad data becomes `tarfile.ReadError`: they have classes
    of their own, some derived from OSError but without an errno."""

    def __init__(self, stream: BinaryIO) -> None:
        head = stream.read(_MAGIC_SIZE)
        self._stream = _decompressor(head, _Replayed(head, stream))

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except BuildFailure:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise tarfile.ReadError(f"damaged compression: {error}") from error


def _decompressor(head: bytes, stream: _Replayed) -> _Readable:
    source = cast("BinaryIO", stream)
    if head.startswith(b"\x1f\x8b\x08"):
        from isal import igzip

        return cast("_Readable", igzip.IGzipFile(fileobj=source, mode="rb"))  # type: ignore[no-untyped-call]
    if head.startswith(b"BZh"):
        import bz2

        return bz2.BZ2File(source)
    if head.startswith(b"\xfd7zXZ\x00"):
        import lzma

        return lzma.LZMAFile(source)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True, closefd=False)
    return stream


@contextmanager
def open_archive(stream: BinaryIO) -> Iterator[tarfile.TarFile | None]:
    """The archive in `stream`, to be read once. None, as in BuildKit, if its content is none, an empty one, or so
    damaged that not even the first member's header can be read."""
    try:
        archive = tarfile.open(  # noqa: SIM115
            fileobj=cast("IO[bytes]", _Unpacked(stream)),
            mode="r|",
            tarinfo=_Header,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except tarfile.ReadError:
        yield None
        return
    with archive:
        yield archive if archive.firstmember is not None else None  # type: ignore[attr-defined]


def members(archive: tarfile.TarFile, limits: Defaults) -> Iterator[tarfile.TarInfo]:
    """The members in order; the current one's content can be read until the next is asked for. Raises Damaged."""
    count = size = 0
    try:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            count, size = count + 1, size + member.size
            if count > limits.max_layer_entries or size > limits.max_layer_bytes:
                raise Damaged("it holds more than lamina unpacks")
            yield member
    except tarfile.TarError as error:
        raise Damaged(str(error)) from error


def mtime_ns(member: tarfile.TarInfo) -> int:
    """When a member was last modified. PAX has decimals that the float of `tarfile` loses."""
    seconds, _, fraction = member.pax_headers.get("mtime", "").partition(".")
    if not seconds.isascii() or not seconds.isdigit():
        seconds, fraction = str(int(member.mtime)), ""
    if not fraction.isascii() or not fraction.isdigit():
        fraction = ""
    if not -(1 << 33) < int(seconds) < 1 << 34:  # what ext4 can hold, roughly; utime refuses numbers of any size
        raise Damaged(f"{member.name!r} has the time {seconds}")
    return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
