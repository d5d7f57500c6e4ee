"""What says that a file is still the one that was read, without reading it again: inode, ctime, mtime, size.

No program can set a ctime, so an edit that restores size and mtime still shows. What an identity cannot show is a
second edit within one tick of the file system's clock: an identity younger than that is called racy (the name is
git's), is never remembered, and its content is checked again where it is used.
"""

from __future__ import annotations

import os
import struct

_LAYOUT = struct.Struct("=QQqqQ")
SIZE = _LAYOUT.size

#: Two seconds: the coarsest clock of a file system in use (FAT); most tick every few milliseconds.
GRANULARITY_NS = 2_000_000_000


def identity_of(stat: os.stat_result) -> bytes:
    """Device, inode, ctime and mtime in nanoseconds, size: 40 bytes, equal for an untouched file only."""
    return _LAYOUT.pack(stat.st_dev, stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size)


def same_inode(identity: bytes, stat: os.stat_result) -> bool:
    """Whether `stat` is of the file that `identity` is of, edited or not."""
    return _LAYOUT.unpack(identity)[:2] == (stat.st_dev, stat.st_ino)


def mtime_of(identity: bytes) -> int:
    """Nanoseconds since the epoch."""
    mtime: int = _LAYOUT.unpack(identity)[3]
    return mtime


def racy(identity: bytes, read_at: int) -> bool:
    """Whether a file read at `read_at` (nanoseconds since the epoch, before the first byte) could be edited after that
    and keep its identity. A time in the future is racy too: the clocks disagree, so nothing is sure."""
    _, _, ctime, mtime, _ = _LAYOUT.unpack(identity)
    limit: int = read_at - GRANULARITY_NS
    return bool(ctime > limit or mtime > limit)
