"""The kernel's FUSE protocol as far as a read-only file system speaks it (<linux/fuse.h>, version 7.31: Linux 5.4).

A request is read from /dev/fuse as a header of 40 bytes and a body; an answer is written as a header of 16 bytes and a
body, or with a negative errno and none. Imports as little as possible: the server starts with every watch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from struct import Struct

MAJOR = 7
MINOR = 31

#: The node that the mount point shows.
ROOT = 1

LOOKUP = 1
FORGET = 2
GETATTR = 3
READLINK = 5
READ = 15
STATFS = 17
RELEASE = 18
GETXATTR = 22
LISTXATTR = 23
INIT = 26
READDIR = 28
RELEASEDIR = 29
DESTROY = 38
BATCH_FORGET = 42

#: Requests for what this file system does not have, whatever the file; the kernel does not repeat most of them. Without
#: OPEN (14) and OPENDIR (27) it opens by itself; ACCESS (34) it answers from modes and ACLs; without LSEEK (46) holes
#: are plain zeros, and without STATX (52) there is no time of birth, so equal files look equal. FSYNC, FLUSH, FSYNCDIR,
#: INTERRUPT, BMAP, IOCTL, POLL, SYNCFS.
ABSENT = frozenset((14, 20, 25, 27, 30, 34, 36, 37, 39, 40, 46, 50, 52))
#: Requests that change something: SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, WRITE, SETXATTR,
#: REMOVEXATTR, CREATE, FALLOCATE, RENAME2, COPY_FILE_RANGE, TMPFILE.
CHANGING = frozenset((4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51))

# What INIT agrees on: reads side by side, no OPEN and OPENDIR, parallel listings, ACLs checked by the kernel, long
# reads, link targets cached, and caches that are only dropped when we say so.
_ASYNC_READ, _NO_OPEN, _PARALLEL_DIROPS, _POSIX_ACL = 1 << 0, 1 << 17, 1 << 18, 1 << 20
_MAX_PAGES, _CACHE_SYMLINKS, _NO_OPENDIR, _EXPLICIT_INVAL = 1 << 22, 1 << 23, 1 << 24, 1 << 25
NEEDED = _NO_OPEN | _NO_OPENDIR
WANTED = NEEDED | _ASYNC_READ | _PARALLEL_DIROPS | _POSIX_ACL | _MAX_PAGES | _CACHE_SYMLINKS | _EXPLICIT_INVAL
_PAGES = 256

#: Seconds that names and attributes stay valid: for as long as the mount lives.
_FOREVER = 1 << 31
#: The kernel wants to read at least this much of a request at once (FUSE_MIN_READ_BUFFER).
REQUEST = 8192

#: Length, opcode, number of the request, node; then uid, gid and pid of who asks, which make no difference here.
HEADER = Struct("=IIQQ")
BODY = 40
_ANSWER = Struct("=IiQ")
_INIT_IN = Struct("=IIII")
_INIT = Struct("=IIIIHHIIHHI28x")
_ATTRIBUTES = "QQQQQQIIIIIIIIII"
_ENTRY = Struct("=IiQQQQQII" + _ATTRIBUTES)
_ATTR = Struct("=IiQQII" + _ATTRIBUTES)
_NO_ENTRY = Struct("=IiQQQQQII88x")
_STATFS = Struct("=QQQQQIIII24x")
_NAME_SIZE = Struct("=II")
_DIRENT = Struct("=QQII")
#: Offset and size of a READ or READDIR, behind the file handle.
PORTION = Struct("=QI")
PORTION_AT = BODY + 8
#: The room for an extended attribute's value or for their names.
ROOM = Struct("=I")
NAME_AT = BODY + 8


def answer(unique: int, body: bytes) -> bytes:
    return _ANSWER.pack(16 + len(body), 0, unique) + body


def refusal(unique: int, errno: int) -> bytes:
    return _ANSWER.pack(16, -errno, unique)


def offered(data: bytes) -> tuple[int, int, int, int]:
    """Of an INIT request: major, minor, the most bytes of read-ahead, flags."""
    return _INIT_IN.unpack_from(data, BODY)


def agreed(read_ahead: int, flags: int) -> bytes:
    return _INIT.pack(MAJOR, MINOR, read_ahead, flags & WANTED, 16, 12, 4096, 1, _PAGES, 0, 0)


def _attributes(ino: int, info: os.stat_result) -> tuple[int, ...]:
    """What stat shows. Nothing that two equal trees could differ in: all three times are that of the content, a file
    has one name (layers share files by hard links), a directory no size of its own, and holes count as data."""
    seconds, nanos = divmod(info.st_mtime_ns, 1_000_000_000)
    size = 4096 if info.st_mode & 0o170000 == 0o040000 else info.st_size
    blocks = (size + 511) // 512
    times = (seconds & 0xFFFFFFFFFFFFFFFF,) * 3 + (nanos,) * 3
    device = _device(info.st_rdev)
    return (ino, size, blocks, *times, info.st_mode, 1, info.st_uid, info.st_gid, device, 4096, 0)


def _device(number: int) -> int:
    """A device number in the 32 bits that the kernel wants (new_encode_dev)."""
    if number == 0:
        return 0
    major, minor = os.major(number), os.minor(number)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def entry(unique: int, node: int, ino: int, info: os.stat_result) -> bytes:
    """The answer to LOOKUP for a name that is there."""
    return _ENTRY.pack(144, 0, unique, node, 0, _FOREVER, _FOREVER, 0, 0, *_attributes(ino, info))


def no_entry(unique: int) -> bytes:
    """The answer to LOOKUP for a name that will never be there."""
    return _NO_ENTRY.pack(144, 0, unique, 0, 0, _FOREVER, 0, 0, 0)


def attributes(unique: int, ino: int, info: os.stat_result) -> bytes:
    """The answer to GETATTR."""
    return _ATTR.pack(120, 0, unique, _FOREVER, 0, 0, *_attributes(ino, info))


def statistics() -> bytes:
    """The body for STATFS: no room, and names of up to 255 bytes."""
    return _STATFS.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)


def length(size: int) -> bytes:
    """The body for an extended attribute of which only the length is asked."""
    return _NAME_SIZE.pack(size, 0)


def listing(entries: Iterable[tuple[int, int, bytes]], offset: int, room: int) -> bytes:
    """The body for READDIR: entries (inode number, type as in d_type, name) behind number `offset`, as many as fit."""
    parts: list[bytes] = []
    for number, (ino, kind, name) in enumerate(entries, offset + 1):
        size = (24 + len(name) + 7) & ~7
        if size > room:
            break
        room -= size
        parts.append((_DIRENT.pack(ino, number, len(name), kind) + name).ljust(size, b"\0"))
    return b"".join(parts)
