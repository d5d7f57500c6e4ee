"""Compressing layers while they are written, with both digests from one pass.

The result depends on the bytes and the level alone: a gzip header without time or name, blocks of exactly 1 MiB however
the bytes come in, and the same output for any number of threads. (ISA-L may choose other matches on another family of
processors, and another zlib than the one here may too; the diff ID is of the uncompressed bytes and the same
everywhere.)
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from lamina.digest import DiffID, Digest
from lamina.oci.descriptor import Descriptor
from lamina.oci.mediatypes import layer_media_type

if TYPE_CHECKING:
    from concurrent.futures import Future

Sink = Callable[[bytes], object]

_BLOCK = 1 << 20
_LEVELS = {"gzip": 2, "zstd": 3}
#: ISA-L's highest level, which is faster than zlib's lowest; zlib has those above it.
_MAX_ISAL = 3
#: How far back deflate can refer: what a block must know of the one before it.
_WINDOW = 1 << 15


class CompressedLayer(Struct, frozen=True):
    """A layer blob that was written: what points at it, the diff ID, and the bytes of the uncompressed tar."""

    descriptor: Descriptor
    diff_id: DiffID
    tar_size: int


class LayerCompressor:
    """Takes a layer's tar in pieces, gives its compressed form to `sink`. Use as a context manager.

    `compression` is one of `oci.mediatypes.COMPRESSIONS`; `level` 0 to 9 for gzip, 1 to 22 for zstd. Raises ValueError
    for an unknown compression, and from `write` or `finish` whatever `sink` raises.
    """

    def __init__(self, compression: str, sink: Sink, level: int | None = None) -> None:
        self._compression = compression
        self._sink = sink
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._plain_size = self._packed_size = 0
        self._encoder = _encoder(compression, self._output, _LEVELS.get(compression, 0) if level is None else level)
        self._waiting = bytearray()

    def __enter__(self) -> LayerCompressor:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is not None and self._encoder is not None:
            self._encoder.abandon()

    def write(self, data: bytes) -> int:
        self._plain.update(data)
        self._plain_size += len(data)
        if self._encoder is None:
            self._sink(data)
            return len(data)
        if not self._waiting and len(data) == _BLOCK:
            self._encoder.block(data)
            return len(data)
        self._waiting += data
        full = len(self._waiting) - len(self._waiting) % _BLOCK
        for at in range(0, full, _BLOCK):
            self._encoder.block(bytes(self._waiting[at : at + _BLOCK]))
        del self._waiting[:full]
        return len(data)

    def finish(self, *, docker: bool = False) -> CompressedLayer:
        """Write what waits and the end; `docker` chooses Docker's media type rather than OCI's."""
        media_type = layer_media_type(self._compression, docker=docker)
        plain = Digest("sha256:" + self._plain.hexdigest())
        if self._encoder is None:
            return CompressedLayer(Descriptor(media_type, plain, self._plain_size), DiffID(plain), self._plain_size)
        if self._waiting:
            self._encoder.block(bytes(self._waiting))
        self._encoder.finish()
        digest = Digest("sha256:" + self._packed.hexdigest())
        return CompressedLayer(Descriptor(media_type, digest, self._packed_size), DiffID(plain), self._plain_size)

    def _output(self, data: bytes) -> None:
        self._packed.update(data)
        self._packed_size += len(data)
        self._sink(data)


class _Encoder(Protocol):
    def block(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


def _encoder(compression: str, output: Sink, level: int) -> _Encoder | None:
    """None for uncompressed layers, whose two digests are the same."""
    if compression == "gzip":
        return _Gzip(output, level) if level <= _MAX_ISAL else _Zlib(output, level)
    if compression == "zstd":
        return _Zstd(output, level)
    layer_media_type(compression)  # Raises the ValueError that lists what there is.
    return None


class _Output:
    """What the gzip threads take for a file. After `closed_early` it swallows what still comes from them."""

    def __init__(self, output: Sink) -> None:
        self._output = output
        self.closed_early = False

    def write(self, data: bytes | memoryview) -> int:
        if not self.closed_early:
            self._output(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Part of the file protocol; nothing waits here."""


class _Gzip:
    def __init__(self, output: Sink, level: int) -> None:
        from isal import igzip_threaded

        self._file = _Output(output)
        threads = min(4, os.cpu_count() or 1)
        self._gzip = igzip_threaded._ThreadedGzipWriter(self._file, "wb", level, threads, block_size=_BLOCK)

    def block(self, data: bytes) -> None:
        self._gzip.write(data)

    def finish(self) -> None:
        self._gzip.close()

    def abandon(self) -> None:
        self._file.closed_early = True
        try:
            self._gzip.close()
        except Exception:
            # The threads have ended; their error is the one that is on its way already.
            return


class _Zlib:
    """Blocks that are compressed beside each other, each knowing the end of the one before, joined into one stream."""

    def __init__(self, output: Sink, level: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._output, self._level = output, level
        threads = min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads)
        self._running: deque[Future[bytes]] = deque()
        self._most = 2 * threads
        self._before = b""
        self._checksum = self._size = 0
        # No time, no name; the mark of the slowest level; an unknown system (RFC 1952).
        output(b"\x1f\x8b\x08\0\0\0\0\0" + (b"\x02" if level == 9 else b"\0") + b"\xff")

    def block(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        self._running.append(self._pool.submit(_deflated, data, self._before, self._level))
        self._before = data[-_WINDOW:]
        if len(self._running) >= self._most:
            self._output(self._running.popleft().result())

    def finish(self) -> None:
        for each in self._running:
            self._output(each.result())
        self._pool.shutdown()
        end = zlib.compressobj(wbits=-15).flush()
        self._output(end + struct.pack("<LL", self._checksum, self._size & 0xFFFFFFFF))

    def abandon(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _deflated(data: bytes, before: bytes, level: int) -> bytes:
    """A block as a part of a raw deflate stream that ends at a whole byte."""
    if before:
        packer = zlib.compressobj(level, wbits=-15, zdict=before)
    else:
        packer = zlib.compressobj(level, wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


class _Zstd:
    def __init__(self, output: Sink, level: int) -> None:
        import zstandard

        # Any number of workers from one on gives the same bytes; none would give others.
        workers = min(4, os.cpu_count() or 1)
        self._output = output
        self._object = zstandard.ZstdCompressor(level=level, threads=workers, write_checksum=True).compressobj()

    def block(self, data: bytes) -> None:
        self._emit(self._object.compress(data))

    def finish(self) -> None:
        self._emit(self._object.flush())

    def abandon(self) -> None:
        """The workers end with the object."""

    def _emit(self, data: bytes) -> None:
        if data:
            self._output(data)
