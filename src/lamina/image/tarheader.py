"""The 512-byte blocks that stand before a file's bytes in a tar: USTAR, with PAX records only where USTAR is too small.

Rule: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; extended attributes as
`SCHILY.xattr.NAME` records (image-spec, layer.md, "File Attributes"). The same facts always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import adler32

FILE, HARDLINK, SYMLINK, CHAR, BLOCK, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"

BLOCK_SIZE = 512
#: What follows the last entry: two zero blocks.
END = bytes(2 * BLOCK_SIZE)

_MAX_ID = 0o7777777
_MAX_NUMBER = 0o77777777777
_BLANK_SUM = b" " * 8
#: What replaces mtime (12 bytes) and checksum (8 bytes) in the timeless form.
_NO_TIME = bytes(20)
_MAGIC = b"ustar\x0000" + bytes(64)
#: What follows the kind where there is no link, no device and no prefix.
_USUAL_BACK = bytes(100) + _MAGIC + b"%07o\0%07o\0" % (0, 0) + bytes(167)

Xattrs = Sequence[tuple[bytes, bytes]]


def entry_blocks(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Xattrs = (),
) -> tuple[bytes, bytes]:
    """All blocks of one entry before its content, twice: as they are, and *timeless*.

    The timeless form has zero bytes for the time and the checksum, and no PAX record for the time: two layers that
    differ only in times have the same timeless bytes. `mtime` is in whole seconds, `size` in bytes of content,
    `mode` the permission bits. Raises ValueError for an xattr whose name PAX cannot hold (one with `=`).
    """
    prefix, short = b"", name
    records: list[tuple[bytes, bytes]] = []
    if len(name) > 100 or not name.isascii():
        prefix, short = _split(name)
        if not short:
            records.append((b"path", name))
            short = _ascii(name)
    if len(link) > 100 or not link.isascii():
        records.append((b"linkpath", link))
        link = _ascii(link)
    if uid > _MAX_ID:
        records.append((b"uid", b"%d" % uid))
        uid = 0
    if gid > _MAX_ID:
        records.append((b"gid", b"%d" % gid))
        gid = 0
    if size > _MAX_NUMBER:
        records.append((b"size", b"%d" % size))
        size = 0
    for key, value in xattrs:
        if b"=" in key:
            raise ValueError(f"a tar cannot hold the extended attribute {key!r}")
        records.append((b"SCHILY.xattr." + key, value))
    timeless = _pax(records) if records else b""
    full = timeless
    if not 0 <= mtime <= _MAX_NUMBER:
        full = _pax([*records, (b"mtime", b"%d" % mtime)])
        mtime = 0

    front = short.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0" % (mode, uid, gid, size)
    time = b"%011o\0" % mtime
    if link or prefix or device != (0, 0):
        back = kind + link.ljust(100, b"\0") + _MAGIC + b"%07o\0%07o\0" % device + prefix.ljust(167, b"\0")
    else:
        back = kind + _USUAL_BACK
    # The checksum is the sum of all bytes. Adler-32's lower half is 1 + that sum modulo 65521, ten times faster than
    # `sum()`; the modulus is never reached, because names, prefix and link are ASCII: 355 * 127 + 157 * 117 < 65520.
    total = (adler32(front + time + _BLANK_SUM + back) & 0xFFFF) - 1
    return full + front + time + b"%06o\0 " % total + back, timeless + front + _NO_TIME + back


def padding(size: int) -> bytes:
    """The zero bytes that fill the last block of a content of `size` bytes."""
    return bytes(-size % BLOCK_SIZE)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """USTAR's (prefix, name) halves of a long name; the second is empty if no slash stands at the right place."""
    if not name.isascii() or len(name) > 256:
        return b"", b""
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut < 1 or len(name) - cut - 1 > 100:
        return b"", b""
    return name[:cut], name[cut + 1 :]


def _ascii(name: bytes) -> bytes:
    """What an old reader, blind to PAX, gets to see of a name."""
    return bytes(byte if byte < 128 else 0x5F for byte in name[:100])


def _pax(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in sorted(records))
    front = b"././@PaxHeader".ljust(100, b"\0") + b"0000644\x000000000\x000000000\x00%011o\0" % len(body)
    back = b"x" + bytes(100) + _MAGIC + b"0000000\x000000000\x00" + bytes(167)
    total = (adler32(front + b"00000000000\0" + _BLANK_SUM + back) & 0xFFFF) - 1
    return front + b"00000000000\0" + b"%06o\0 " % total + back + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where LENGTH counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
