"""What differs between two layer directories, times apart: two walks side by side, so that memory stays flat.

Two layers without a difference here have equal timeless digests (`diff.diff`), and the other way round.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.image.latest import latest_of
from lamina.image.layerwalk import LayerEntry, LayerWalk
from lamina.image.xattrs import Namespace
from lamina.keys.lines import is_text

DifferenceKind = Literal["content", "mode", "owner", "type", "target", "added", "removed", "xattrs", "time"]

_CHUNK = 1 << 20
_HEAD = 8000


class Difference(Struct, frozen=True, omit_defaults=True):
    """The first thing that differs at one path (absolute, in the root). `before` and `after` are what differs, ready to
    show; `time` is what `first_time` finds. For different contents: `offset` is that of the first byte that differs,
    `line` its line (from 1) if both are text, and `magic` the first bytes of the file."""

    path: str
    kind: DifferenceKind
    before: str = ""
    after: str = ""
    line: int | None = None
    offset: int | None = None
    magic: bytes = b""


def compare(before: Path, after: Path, namespace: Namespace = "trusted") -> Iterator[Difference]:
    """One difference a path, in the order of the layer's tar. Raises BuildFailure `image-layer-unreadable`."""
    try:
        with LayerWalk(before, namespace) as old, LayerWalk(after, namespace) as new:
            yield from _merged(old, new)
    except OSError as error:
        raise BuildFailure("image-layer-unreadable", "cannot read a layer", cause=str(error)) from error


def first_time(before: Path, after: Path, namespace: Namespace = "trusted") -> Difference | None:
    """The first path of two layers, the same otherwise, that has another time in their tars."""
    latest = [latest_of(layer, namespace) for layer in (before, after)]
    for parent, folders, files in os.walk(before):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(parent, name).relative_to(before)
            times = [
                min(int(os.lstat(layer / path).st_mtime), limit)
                for layer, limit in zip((before, after), latest, strict=True)
            ]
            if times[0] != times[1]:
                old, new = (datetime.fromtimestamp(time, UTC).isoformat(" ") for time in times)
                return Difference(f"/{_shown(os.fsencode(path))}", "time", old, new)
    return None


def _merged(old: LayerWalk, new: LayerWalk) -> Iterator[Difference]:
    left, right = old.entries(), new.entries()
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if one is not None and other is not None and one.order == other.order:
            found = _difference(one, other)
            one, other = next(left, None), next(right, None)
        elif one is not None and (other is None or one.order < other.order):
            found = _alone(one, new, "removed")
            one = next(left, None)
        else:
            assert other is not None
            found = _alone(other, old, "added")
            other = next(right, None)
        if found is not None:
            yield found


def _alone(entry: LayerEntry, elsewhere: LayerWalk, kind: Literal["added", "removed"]) -> Difference | None:
    """An entry that the other layer has not, or as a directory where this is none: that is told once, at the other."""
    word = entry.kind
    if not elsewhere.has(entry.path):
        return _told(entry, kind, *(("", word) if kind == "added" else (word, "")))
    if entry.order.endswith(b"/"):
        return None
    return _told(entry, "type", *(("directory", word) if kind == "added" else (word, "directory")))


def _difference(old: LayerEntry, new: LayerEntry) -> Difference | None:
    if old.kind != new.kind:
        return _told(old, "type", old.kind, new.kind)
    if old.kind == "file":
        found = _content(old, new)
        if found is not None:
            return found
    if old.target != new.target:
        return _told(old, "target", _shown(old.target), _shown(new.target))
    if old.mode != new.mode:
        return _told(old, "mode", f"{old.mode:04o}", f"{new.mode:04o}")
    if old.owner != new.owner:
        return _told(old, "owner", "{}:{}".format(*old.owner), "{}:{}".format(*new.owner))
    if old.xattrs != new.xattrs:
        return _told(old, "xattrs", _names(old), _names(new))
    return None


def _content(old: LayerEntry, new: LayerEntry) -> Difference | None:
    """Where two files begin to differ; None if they do not."""
    offset, lines, text = 0, 1, True
    magic = b""
    while True:
        one, other = os.pread(old.descriptor, _CHUNK, offset), os.pread(new.descriptor, _CHUNK, offset)
        if offset == 0:
            magic, text = one[:16], is_text(one[:_HEAD]) and is_text(other[:_HEAD])
        if one == other:
            if not one:
                return None
            offset += len(one)
            lines += one.count(b"\n") if text else 0
            continue
        same = _common(one, other)
        return Difference(
            "/" + _shown(old.path),
            "content",
            f"{old.size} bytes",
            f"{new.size} bytes",
            line=lines + one.count(b"\n", 0, same) if text else None,
            offset=offset + same,
            magic=magic,
        )


def _common(one: bytes, other: bytes) -> int:
    """The length of the common beginning, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _told(entry: LayerEntry, kind: DifferenceKind, before: str, after: str) -> Difference:
    return Difference("/" + _shown(entry.path), kind, before, after)


def _names(entry: LayerEntry) -> str:
    return " ".join(_shown(name) for name, _ in entry.xattrs)


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
