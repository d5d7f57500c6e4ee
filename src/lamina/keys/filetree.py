"""File records and the digest of a tree of them: what a key knows about files.

Names, types, permission bits, contents and link targets count; times, owners and sizes alone do not (DESIGN: "The cache
key"). Paths are POSIX paths relative to the root they were taken from; bytes that are not UTF-8 are kept as surrogates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from lamina.digest import Digest, FramedHash

Kind = Literal["file", "dir", "link", "fifo", "char", "block", "socket"]


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


def tree_digest(records: Iterable[FileRecord], *, owners: bool = False) -> Digest:
    """The digest of a list of records, in path order. `owners` adds uid and gid (COPY --from keeps them).

    Raises ValueError for a regular file without a content digest: a key with a hole would be a false hit.
    """
    tree = FramedHash()
    for record in records:
        if record.kind == "file" and not record.content:
            raise ValueError(f"no content digest for {record.path!r}")
        owner = f" {record.uid}:{record.gid}" if owners else ""
        value = record.content if record.kind == "file" else record.target
        tree.add(record.path, f"{record.kind} {record.mode:o}{owner} {value}")
        for name, data in record.xattrs:
            tree.add(f"xattr {name}", data)
    return tree.digest()
