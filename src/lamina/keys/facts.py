"""Two lists of file records, compared: the facts behind "this step rebuilds because …"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from lamina.keys.filetree import FileRecord

ChangeKind = Literal["added", "removed", "type", "content", "mode", "target", "owner", "xattrs"]


class FileChange(Struct, frozen=True):
    """One thing that differs at one path. `before` and `after` are what differs, ready to show: a kind, a hex SHA-256,
    an octal mode (`0644`), a link's target, `uid:gid`, or the names of extended attributes; empty on the side where
    there is nothing. For `added` and `removed` they are the entry's kind."""

    path: str
    kind: ChangeKind
    before: str
    after: str


def compare_trees(
    before: Sequence[FileRecord], after: Sequence[FileRecord], *, owners: bool = False
) -> tuple[FileChange, ...]:
    """Every difference that `tree_digest` sees between two lists sorted by path, sorted by path.

    `owners` as in `tree_digest`. One path gives several changes if several things differ; if its type differs, that
    alone is told. Empty exactly if the digests are equal.
    """
    changes: list[FileChange] = []
    left = right = 0
    while left < len(before) and right < len(after):
        old, new = before[left], after[right]
        if old.path == new.path:
            left += 1
            right += 1
            if old != new:
                changes.extend(_differences(old, new, owners))
        elif old.path < new.path:
            changes.append(FileChange(old.path, "removed", old.kind, ""))
            left += 1
        else:
            changes.append(FileChange(new.path, "added", "", new.kind))
            right += 1
    changes.extend(FileChange(old.path, "removed", old.kind, "") for old in before[left:])
    changes.extend(FileChange(new.path, "added", "", new.kind) for new in after[right:])
    return tuple(changes)


def only_modes(changes: Sequence[FileChange]) -> bool:
    """Whether permission bits are all that differs, as after a checkout under another umask."""
    return bool(changes) and all(change.kind == "mode" for change in changes)


def _differences(old: FileRecord, new: FileRecord, owners: bool) -> Iterator[FileChange]:
    if old.kind != new.kind:
        yield FileChange(old.path, "type", old.kind, new.kind)
        return
    if old.kind == "file" and old.content != new.content:
        yield FileChange(old.path, "content", old.content, new.content)
    if old.kind != "file" and old.target != new.target:
        yield FileChange(old.path, "target", old.target, new.target)
    if old.mode != new.mode:
        yield FileChange(old.path, "mode", f"{old.mode:04o}", f"{new.mode:04o}")
    if owners and (old.uid, old.gid) != (new.uid, new.gid):
        yield FileChange(old.path, "owner", f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}")
    if old.xattrs != new.xattrs:
        yield FileChange(old.path, "xattrs", _names(old), _names(new))


def _names(record: FileRecord) -> str:
    return " ".join(name for name, _ in record.xattrs)
