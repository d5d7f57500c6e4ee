"""File records and the digest of a tree of them: what a key knows about files.

Names, types, permission bits, contents and link targets count; times, owners and sizes alone do not (DESIGN: "The cache
key"). Paths are POSIX paths relative to the root they were taken from; bytes that are not UTF-8 are kept as surrogates.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from lamina.digest import Digest

Kind = Literal["file", "dir", "link", "fifo", "char", "block", "socket"]

_FLUSH = 4096


_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}


def kind_of(mode: int) -> Kind:
    """The kind that the `st_mode` of an inode says. Raises KeyError for a type that Linux does not have."""
    return _KINDS[stat.S_IFMT(mode)]


class FileRecord(Struct, frozen=True, gc=False):
    """One entry of a tree. `mode` is the permission bits (07777); `content` the hex SHA-256 of a regular file, empty
    while unknown; `target` a link's target (or `major:minor` of a device). uid, gid and size do not enter a context
    file's key; `uid` and `gid` are what COPY --from keeps."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    content: str = ""
    target: str = ""
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


class Selection(Struct, frozen=True):
    """What one match of a source argument selects, sorted by path.

    A directory (`is_dir`): `base` is its path ("" is the whole root), stripped from the paths of `files`, whose first
    is the directory's own record (the root has none: it counts as mode 0755); its contents land below the destination.
    Anything else: `files` is one record, which lands under `base`'s last component; its path differs from `base`
    where `base` is a symbolic link that was followed."""

    base: str
    is_dir: bool
    files: tuple[FileRecord, ...]


def tree_digest(records: Iterable[FileRecord], *, owners: bool = False) -> Digest:
    """The digest of a list of records, in path order. `owners` adds uid and gid (COPY --from keeps them).

    The frames are those of `digest.FramedHash` (one a record: path → kind, mode, value), written out here because a
    call a record is what a tree of 100,000 files spends its time on. An extended attribute's frame has a name that
    starts with NUL, which no path can. Raises ValueError for a regular file without a content digest: a key with a
    hole would be a false hit.
    """
    state = hashlib.sha256()
    frames: list[bytes] = []
    for record in records:
        kind = record.kind
        value = record.content if kind == "file" else record.target
        if kind == "file" and not value:
            raise ValueError(f"no content digest for {record.path!r}")
        owner = f" {record.uid}:{record.gid}" if owners else ""
        frames.append(_frame(record.path, f"{kind} {record.mode:o}{owner} {value}".encode("utf-8", "surrogateescape")))
        for name, data in record.xattrs:
            frames.append(_frame("\0xattr " + name, data))
        if len(frames) >= _FLUSH:
            state.update(b"".join(frames))
            frames.clear()
    state.update(b"".join(frames))
    return Digest("sha256:" + state.hexdigest())


def _frame(name: str, value: bytes) -> bytes:
    key = name.encode("utf-8", "surrogateescape")
    return b"%b%b%b%b" % (len(key).to_bytes(4, "big"), key, len(value).to_bytes(8, "big"), value)
