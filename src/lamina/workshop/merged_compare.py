"""What differs between two images as their containers see them, times aside: two walks over two stacks of layers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from lamina.image.rootfs import Node, Rootfs
from lamina.image.xattrs import Namespace, read_attributes

_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Pair(Struct, frozen=True):
    """One absolute path of either image. `what` is how it differs, empty if it does not; `magic` and `offset` as in
    `compare.Difference`."""

    path: str
    what: str = ""
    magic: bytes = b""
    offset: int | None = None


def pairs(before: Sequence[Path], after: Sequence[Path], namespace: Namespace) -> Iterator[Pair]:
    """All paths of both, layers given topmost first. What is in a directory that one of them lacks is told by that.
    Raises OSError."""
    old, new = Rootfs(before, namespace), Rootfs(after, namespace)
    todo = [("", old.dirs, new.dirs)]
    while todo:
        parent, ours, theirs = todo.pop()
        for name in sorted({**old.listing(ours), **new.listing(theirs)}):
            one, other = old.child(ours, name), new.child(theirs, name)
            path = f"{parent}/{name}"
            if one is not None and other is not None:
                yield _pair(path, one, other, namespace)
                if one.is_dir and other.is_dir:
                    todo.append((path, one.dirs, other.dirs))
            elif one is not None:
                yield Pair(path, f"the {_kind(one)} is gone", _magic(one))
            elif other is not None:
                yield Pair(path, f"a new {_kind(other)}", _magic(other))


def _pair(path: str, one: Node, other: Node, namespace: Namespace) -> Pair:
    if one.real == other.real:
        return Pair(path)
    if _kind(one) != _kind(other):
        return Pair(path, f"{_kind(one)} → {_kind(other)}")
    if one.is_file:
        found = _content(path, one, other)
        if found is not None:
            return found
    if one.is_link and os.readlink(one.real) != os.readlink(other.real):
        return Pair(path, f"target, {os.readlink(one.real)} → {os.readlink(other.real)}")
    if one.stat.st_mode != other.stat.st_mode:
        return Pair(path, f"mode, {stat.S_IMODE(one.stat.st_mode):04o} → {stat.S_IMODE(other.stat.st_mode):04o}")
    owners = [f"{node.stat.st_uid}:{node.stat.st_gid}" for node in (one, other)]
    if owners[0] != owners[1]:
        return Pair(path, f"owner, {owners[0]} → {owners[1]}")
    if one.stat.st_rdev != other.stat.st_rdev:
        return Pair(path, "device")
    if (one.is_file or one.is_dir) and _attributes(one, namespace) != _attributes(other, namespace):
        return Pair(path, "extended attributes")
    return Pair(path)


def _content(path: str, one: Node, other: Node) -> Pair | None:
    with _opened(one) as old, _opened(other) as new:
        offset, magic = 0, b""
        while True:
            ours, theirs = old.read(_CHUNK), new.read(_CHUNK)
            magic = magic or ours[:16]
            if ours != theirs:
                shared = next(
                    (at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                    min(len(ours), len(theirs)),
                )
                return Pair(path, f"content, byte {offset + shared}", magic, offset + shared)
            if not ours:
                return None
            offset += len(ours)


def _attributes(node: Node, namespace: Namespace) -> object:
    descriptor = os.open(node.real, _READ)
    try:
        return read_attributes(descriptor, namespace).kept
    finally:
        os.close(descriptor)


def _magic(node: Node) -> bytes:
    if not node.is_file:
        return b""
    with _opened(node) as file:
        return file.read(16)


def _opened(node: Node) -> BinaryIO:
    return os.fdopen(os.open(node.real, _READ), "rb")


def _kind(node: Node) -> str:
    if node.is_dir:
        return "directory"
    if node.is_link:
        return "link"
    return "file" if node.is_file else "special file"
