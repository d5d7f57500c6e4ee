"""The standard library's tar reader, made strict: damage is an error, headers are bounded, global ones say nothing."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

_MAX_EXTENDED = 1 << 20  # of an extended header, which tarfile reads into memory; Go's reader has the same limit
_MAX_HEADERS = 8 << 20  # of all headers of one member, maps of sparse files included
_MAX_NESTED = 32  # extended headers before one member: tarfile reads each by recursion
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class Archive(tarfile.TarFile):
    """A tar to be read. Global extended headers are passed over, as Go's reader does: tarfile would keep them all."""

    bounded: _Bounded | None = None

    @property
    def pax_headers(self) -> Mapping[str, str]:
        return {}

    @pax_headers.setter
    def pax_headers(self, headers: Mapping[str, str] | None) -> None:
        """What they say counts for nothing."""

    @contextmanager
    def header(self) -> Iterator[None]:
        """While one member's headers are read, extended ones and all, only so much is."""
        if self.bounded is not None:
            self.bounded.deeper()
            yield
            return
        whole = self.fileobj
        # tarfile asks its stream for read, seek and tell alone, which its type does not say.
        self.bounded = self.fileobj = _Bounded(cast("IO[bytes]", whole))  # type: ignore[assignment]
        try:
            yield
        finally:
            self.bounded, self.fileobj = None, whole


class _Bounded:
    """A stream of which only the headers of one member may be read. Raises tarfile.ReadError if they do not end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left, self._nested = _MAX_HEADERS, _MAX_NESTED
        self.tell = stream.tell
        self.seek = stream.seek

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError(f"a member has more than {_MAX_HEADERS} bytes of headers")
        return self._stream.read(size)

    def deeper(self) -> None:
        """One more header of the same member."""
        self._nested -= 1
        if self._nested < 0:
            raise tarfile.ReadError(f"a member has more than {_MAX_NESTED} headers")


class Header(tarfile.TarInfo):
    """`tarfile` takes the first damaged header for the end of the archive; this one makes it an error."""

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Header:
        with tarfile.header():
            return super().fromtarfile(tarfile)

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not buf or not any(buf):
                raise  # the end, with or without its marker
            raise tarfile.ReadError(f"damaged header: {error}") from error
        if info.size < 0 or (info.type in _EXTENDED and info.size > _MAX_EXTENDED):
            raise tarfile.ReadError(f"a header states a size of {info.size} bytes")
        return info
