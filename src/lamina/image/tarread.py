"""Reading a tar from a stream, strictly: raw names, bounded memory, and no damage passed over in silence.

The standard library's `tarfile` ends quietly at the first damaged header and reads extended headers of any size into
memory; a layer from a registry deserves neither. Read are USTAR, PAX and GNU's long names and base-256 numbers, as far
as image layers use them (image-spec, layer.md). Global PAX headers are skipped, as in Docker. Sparse files are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol
from zlib import adler32

from lamina.diagnostics import BuildFailure
from lamina.image.tarheader import BLOCK, BLOCK_SIZE, CHAR, DIRECTORY, FIFO, FILE, HARDLINK, SYMLINK

#: The longest extended header and long name that is read, in bytes (Go's reader has the same limit).
MAX_EXTENDED = 1 << 20

_CHUNK = 1 << 18
_KINDS = frozenset((FILE, HARDLINK, SYMLINK, CHAR, BLOCK, DIRECTORY, FIFO))
#: As an owner, -1 means "leave it" to chown.
_NO_ID = (1 << 32) - 1
#: In nanoseconds; beyond it no file system's clock goes.
_MAX_TIME = 1 << 62
_XATTR = b"SCHILY.xattr."


class ByteStream(Protocol):
    """What a tar is read from: `read(n)` gives up to n bytes, and none at the end only."""

    def read(self, size: int, /) -> bytes: ...


class TarEntry(NamedTuple):
    """One entry as the archive states it; `kind` is one of `tarheader`'s constants. Nothing is checked for safety."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    device: tuple[int, int]
    xattrs: dict[str, bytes]


class TarReader:
    """Iterate to get entries; `content()` gives the bytes of the current one, or nothing if it was passed over.

    The iteration ends after the stream was read to its very end, also past the end marker. Raises BuildFailure
    `image-bad-tar` for damage, `image-unsupported-entry`, and `image-too-large` above `max_entries`.

    `skip(n)`, if given, passes over n bytes of the stream faster than reading; the caller then checks that contents
    lie within the file. `offset` is where the next byte to be taken stands in the stream.
    """

    def __init__(self, stream: ByteStream, max_entries: int, skip: Callable[[int], object] | None = None) -> None:
        self._stream = stream
        self._max_entries = max_entries
        self._skip = skip
        self.offset = 0
        self._buffer = b""
        self._at = 0
        self._content_left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[TarEntry]:
        count = 0
        while (entry := self._next()) is not None:
            count += 1
            if count > self._max_entries:
                raise BuildFailure("image-too-large", f"an archive has more than {self._max_entries} entries")
            self._content_left = entry.size
            self._padding = -entry.size % BLOCK_SIZE
            yield entry
            self._pass_over()
        while self._stream.read(_CHUNK):
            pass

    def content(self) -> Iterator[bytes]:
        """What is left of the current entry's content, in pieces of at most 256 KiB."""
        while self._content_left:
            piece = self._take(min(self._content_left, _CHUNK))
            if not piece:
                raise _damaged("it ends in the middle of a file")
            self._content_left -= len(piece)
            yield piece

    def _pass_over(self) -> None:
        """Go to the next header."""
        beyond = self._content_left + self._padding - (len(self._buffer) - self._at)
        if self._skip is not None and beyond > 0:
            self._skip(beyond)
            self.offset += self._content_left + self._padding
            self._buffer, self._at, self._content_left = b"", 0, 0
            return
        for _ in self.content():
            pass
        self._exactly(self._padding)

    def _next(self) -> TarEntry | None:
        """The next header with its extensions; None at the end of the archive."""
        records: dict[bytes, bytes] = {}
        while True:
            block = self._take(BLOCK_SIZE)
            if not block and not records:
                # Some writers leave out the end marker; Go's reader takes that, so Docker does.
                return None
            if len(block) < BLOCK_SIZE:
                raise _damaged("it ends in the middle of a header")
            if block.count(0) == BLOCK_SIZE:
                if self._take(BLOCK_SIZE).strip(b"\0") or records:
                    raise _damaged("a block of zeros stands between two entries")
                return None
            _verify(block)
            kind = block[156:157]
            if kind == b"x":
                records.update(_pax_records(self._extended(block)))
            elif kind == b"g":
                self._extended(block)
            elif kind == b"L":
                records[b"path"] = self._extended(block).split(b"\0", 1)[0]
            elif kind == b"K":
                records[b"linkpath"] = self._extended(block).split(b"\0", 1)[0]
            else:
                return _entry(block, kind, records)

    def _extended(self, block: bytes) -> bytes:
        size = _number(block[124:136])
        if not 0 <= size <= MAX_EXTENDED:
            raise _damaged(f"it has an extended header of {size} bytes")
        return self._exactly(size + -size % BLOCK_SIZE)[:size]

    def _exactly(self, size: int) -> bytes:
        data = self._take(size)
        if len(data) < size:
            raise _damaged("it ends too early")
        return data

    def _take(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end of the stream."""
        end = self._at + size
        if end <= len(self._buffer):
            piece = self._buffer[self._at : end]
            self._at = end
            self.offset += size
            return piece
        parts = [self._buffer[self._at :]]
        missing = size - len(parts[0])
        while missing:
            self._buffer = self._stream.read(_CHUNK)
            self._at = min(missing, len(self._buffer))
            if not self._buffer:
                break
            parts.append(self._buffer[: self._at])
            missing -= self._at
        self.offset += size - missing
        return b"".join(parts)


def _verify(block: bytes) -> None:
    # Two halves, because the lower half of Adler-32 is a plain sum only below 65521 (256 * 255 = 65280).
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    if total - sum(block[148:156]) + 8 * 0x20 != _number(block[148:156]):
        raise _damaged("the checksum of a header is wrong")


def _entry(block: bytes, kind: bytes, records: dict[bytes, bytes]) -> TarEntry:
    name = _path(block, records)
    if kind in (b"\0", b"7"):
        kind = FILE
    if kind == FILE and name.endswith(b"/"):
        kind = DIRECTORY
    if kind not in _KINDS or any(key.startswith(b"GNU.sparse.") for key in records):
        raise BuildFailure(
            "image-unsupported-entry",
            f"{_shown(name)} in an archive is of a kind ({kind.decode('latin-1')!r}) that image layers do not have",
            hint="write the archive again without sparse files or GNU's special entries",
        )
    link = records.get(b"linkpath") or block[157:257].split(b"\0", 1)[0]
    if b"\0" in link or b"\0" in name:
        raise _damaged("a name has a zero byte")
    size = _field(records, b"size", block[124:136]) if kind == FILE else 0
    uid, gid = _field(records, b"uid", block[108:116]), _field(records, b"gid", block[116:124])
    if size < 0 or not (0 <= uid < _NO_ID and 0 <= gid < _NO_ID):
        raise _damaged(f"the size or owner of {_shown(name)} is out of range")
    mtime = _time(records[b"mtime"]) if records.get(b"mtime") else _number(block[136:148]) * 1_000_000_000
    device = (_number(block[329:337]), _number(block[337:345])) if kind in (CHAR, BLOCK) else (0, 0)
    if abs(mtime) > _MAX_TIME or not (0 <= device[0] < 1 << 12 and 0 <= device[1] < 1 << 20):
        raise _damaged(f"the time or device number of {_shown(name)} is out of range")
    xattrs = {
        key[len(_XATTR) :].decode("utf-8", "surrogateescape"): value
        for key, value in records.items()
        if key.startswith(_XATTR)
    }
    return TarEntry(name, kind, _number(block[100:108]) & 0o7777, uid, gid, size, mtime, link, device, xattrs)


def _path(block: bytes, records: dict[bytes, bytes]) -> bytes:
    if records.get(b"path"):
        return records[b"path"]
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0":
        # star's own flavour keeps times in the last 24 bytes of the prefix.
        prefix = block[345 : 476 if block[508:] == b"tar\0" else 500].split(b"\0", 1)[0]
        if prefix:
            return prefix + b"/" + name
    return name


def _field(records: dict[bytes, bytes], key: bytes, raw: bytes) -> int:
    text = records.get(key)
    if not text:
        return _number(raw)
    if not text.isdigit() or len(text) > 20:
        raise _damaged(f"{key.decode()} is not a number")
    return int(text)


def _number(raw: bytes) -> int:
    """A numeric field: octal digits, or GNU's base-256 if the first bit is set."""
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big", signed=raw[0] == 0xFF)
        return value if raw[0] == 0xFF else value - (0x80 << (8 * (len(raw) - 1)))
    text = raw.split(b"\0", 1)[0].strip(b" ")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise _damaged("a number in a header is not octal")
    return int(text, 8)


def _time(text: bytes) -> int:
    """PAX's decimal seconds as nanoseconds, cut."""
    seconds, _, fraction = text.partition(b".")
    digits = seconds.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 18 or (fraction and not fraction.isdigit()):
        raise _damaged("mtime is not a number")
    nanoseconds = int(digits) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -nanoseconds if seconds.startswith(b"-") else nanoseconds


def _pax_records(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(body):
        length_text, space, _ = body[at : at + 12].partition(b" ")
        if not space or not length_text.isdigit():
            raise _damaged("an extended header is malformed")
        end = at + int(length_text)
        key, equals, value = body[at + len(length_text) + 1 : end - 1].partition(b"=")
        if not equals or not key or end > len(body) or body[end - 1 : end] != b"\n":
            raise _damaged("an extended header is malformed")
        yield key, value
        at = end


def _shown(name: bytes) -> str:
    return "'" + name.decode("utf-8", "backslashreplace") + "'"


def _damaged(cause: str) -> BuildFailure:
    return BuildFailure("image-bad-tar", "an archive or layer is damaged or is no tar", cause=cause)
