"""Decompressing layers from anywhere: bounded memory, bounded output, and no end before the end.

Truncation, a wrong checksum and bytes after the last member are errors; several gzip members or zstd frames after each
other are not (pigz, eStargz and zstd:chunked write them).
"""

from __future__ import annotations

from typing import Protocol

from lamina.diagnostics import BuildFailure
from lamina.image.tarread import ByteStream
from lamina.oci.mediatypes import COMPRESSIONS

_CHUNK = 1 << 18


def detect(start: bytes) -> str:
    """The compression that the first bytes (four suffice) of a layer tell."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    # A zstd stream may begin with a skippable frame: 0x184D2A50 to 0x184D2A5F, little endian.
    if start.startswith(b"\x28\xb5\x2f\xfd") or (start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F):
        return "zstd"
    return "uncompressed"


class Decompressed:
    """The uncompressed bytes of `stream`. `read(n)` gives some bytes, not always n, and none only at a verified end.

    `limit` bounds the whole output in bytes. Raises BuildFailure `image-bad-compression` and `image-too-large`, and
    ValueError for an unknown compression.
    """

    def __init__(self, stream: ByteStream, compression: str, limit: int) -> None:
        if compression not in COMPRESSIONS:
            raise ValueError(f"unknown compression {compression!r}: one of {', '.join(COMPRESSIONS)}")
        self._stream = stream
        self._compression = compression
        self._left = self._limit = limit
        self._member: _Member | None = None
        self._input = b""
        self._at = 0

    def read(self, size: int = _CHUNK, /) -> bytes:
        data = self._stream.read(size) if self._compression == "uncompressed" else self._unpacked()
        self._left -= len(data)
        if self._left < 0:
            raise BuildFailure(
                "image-too-large",
                f"a layer or archive is larger than {self._limit} bytes once unpacked",
                hint="if you trust where it comes from, raise the limit",
            )
        return data

    def _unpacked(self) -> bytes:
        """The next bytes that come out; none after the last member."""
        while True:
            if self._member is None or self._member.eof:
                if not self._fill():
                    if self._member is None:
                        raise self._bad("it is empty")
                    return b""
                self._member = _GzipMember() if self._compression == "gzip" else _ZstdFrame()
            elif self._member.needs_input and not self._fill():
                raise self._bad("it ends too early")
            data = self._step(self._member)
            if data:
                return data

    def _step(self, member: _Member) -> bytes:
        piece = b""
        if member.needs_input:
            piece = self._input[self._at : self._at + member.input_size]
            self._at += len(piece)
        try:
            data = member.decompress(piece)
        except Exception as error:
            # Both libraries have error classes of their own, and raise them for damaged input only.
            raise self._bad("it is damaged, or something else follows it") from error
        if member.eof:
            self._at -= len(member.rest)
        return data

    def _fill(self) -> bool:
        """Have input waiting; False at the end of the stream."""
        if self._at == len(self._input):
            self._input, self._at = self._stream.read(_CHUNK), 0
        return bool(self._input)

    def _bad(self, cause: str) -> BuildFailure:
        return BuildFailure(
            "image-bad-compression",
            f"the {self._compression} data of a layer or archive cannot be unpacked",
            cause=cause,
            hint="fetch or write the image again",
        )


class _Member(Protocol):
    """One gzip member or zstd frame. `needs_input` is False while output waits inside; `rest` is what followed it."""

    input_size: int
    eof: bool
    needs_input: bool
    rest: bytes

    def decompress(self, data: bytes) -> bytes: ...


class _GzipMember:
    input_size = _CHUNK

    def __init__(self) -> None:
        from isal import igzip_lib

        self._object = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self.eof, self.needs_input, self.rest = False, True, b""

    def decompress(self, data: bytes) -> bytes:
        out: bytes = self._object.decompress(data, _CHUNK)
        self.eof, self.needs_input = self._object.eof, self._object.needs_input
        if self.eof:
            self.rest = self._object.unused_data
        return out


class _ZstdFrame:
    """Its object gives all output at once, and four bytes can stand for 128 KiB: 1 KiB in is at most 32 MiB out."""

    input_size = 1 << 10
    needs_input = True

    def __init__(self) -> None:
        import zstandard

        self._object = zstandard.ZstdDecompressor().decompressobj()
        self.eof, self.rest = False, b""

    def decompress(self, data: bytes) -> bytes:
        out = self._object.decompress(data)
        self.eof, self.rest = self._object.eof, self._object.unused_data
        return out
