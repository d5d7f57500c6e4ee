"""Two lists of file records, compared: the facts behind "this step rebuilds because …"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from msgspec import Struct

from lamina.keys.filetree import FileRecord

#: In the order in which they are told: what a file is goes before what is said about it.
ChangeKind = Literal["content", "added", "removed", "type", "target", "line-ends", "mode", "owner", "xattrs"]
#: All that differs in a whole list: nothing but modes, owners, line ends, or files of `.git`; else empty.
Sole = Literal["", "mode", "owner", "line-ends", "git"]

#: How many changes are kept of one comparison; the others are counted.
TOLD = 20

_ORDER = get_args(ChangeKind)
_WHAT: tuple[ChangeKind, ...] = ("content", "added", "removed", "type", "target")
_HARMLESS: tuple[Sole, ...] = ("mode", "owner", "line-ends")


class FileChange(Struct, frozen=True):
    """One thing that differs at one path. `before` and `after` are what differs, ready to show: a kind, a hex SHA-256,
    an octal mode (`0644`), a link's target, `uid:gid`, or the names of extended attributes; empty on the side where
    there is nothing. For `added` and `removed` they are the entry's kind. `line-ends`: the content differs in nothing
    but CRLF and LF. `lines`, if both contents are known: the first and the last of each run of lines that is new, in
    the file as it is now, counted from 1; where lines are only gone the last is one less than the first."""

    path: str
    kind: ChangeKind
    before: str
    after: str
    lines: tuple[tuple[int, int], ...] = ()


class Comparison(Struct, frozen=True):
    """What differs between two lists: the changes to tell (at most `TOLD`), how many there are, and whether they all
    are of one harmless sort."""

    changes: tuple[FileChange, ...] = ()
    total: int = 0
    sole: Sole = ""


def compare_trees(
    before: Sequence[FileRecord], after: Sequence[FileRecord], *, owners: bool = False
) -> tuple[FileChange, ...]:
    """Every difference that `tree_digest` sees between two lists sorted by path, sorted by path.

    `owners` as in `tree_digest`. One path gives several changes if several things differ; if its type differs, that
    alone is told. Empty exactly if the digests are equal.
    """
    changes: list[FileChange] = []
    # Nearly all is the same, as a rule: passed over by comparing whole records, up to where the first differ.
    left = right = next(
        (number for number, (old, new) in enumerate(zip(before, after, strict=False)) if old != new),
        min(len(before), len(after)),
    )
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


def summed(changes: Sequence[FileChange]) -> Comparison:
    """The changes to tell: what a file is first, the version control's own files last."""
    told = sorted(changes, key=lambda change: (_is_git(change.path), _ORDER.index(change.kind), change.path))
    return Comparison(tuple(told[:TOLD]), len(changes), _sole(changes))


def telling(told: Sequence[FileChange], total: int) -> int:
    """How many of `total` changes, of which `told` are kept, change what files there are and what is in them, those of
    the version control aside. Such changes are told first, so where none but they are told, all may be such."""
    count = sum(change.kind in _WHAT and not _is_git(change.path) for change in told)
    return total if count == TOLD else count


def _sole(changes: Sequence[FileChange]) -> Sole:
    kinds = {change.kind for change in changes}
    if changes and all(_is_git(change.path) for change in changes):
        return "git"
    if len(kinds) == 1:
        for kind in _HARMLESS:
            if kind in kinds:
                return kind
    return ""


def _is_git(path: str) -> bool:
    return "/.git/" in f"/{path}/"


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
