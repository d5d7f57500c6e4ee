"""Deleting a tree whatever its modes and however deep it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
_LONG = 2000


def remove_tree(path: Path) -> None:
    """Delete `path`, a file or a directory with all below it; nothing happens if it is not there. Raises OSError.

    No symlink is followed. A directory whose path has grown long is first renamed to the top, so neither PATH_MAX, nor
    recursion, nor open descriptors limit the depth. Directories without write or search permission are given it, which
    their owner may do.
    """
    top = os.fspath(path)
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
    except FileNotFoundError:
        return
    os.chmod(top, 0o700)
    numbers = count()
    pending = [top]
    while pending:
        children = _clear(pending[-1])
        if children:
            pending.extend(_move_up(child, top, numbers) if len(child) > _LONG else child for child in children)
        else:
            os.rmdir(pending.pop())


def _clear(directory: str) -> list[str]:
    """Delete the entries of `directory` but for directories that hold something, whose paths are returned."""
    children = []
    with os.scandir(directory) as entries:
        found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for path, is_directory in found:
        if not is_directory:
            os.unlink(path)
            continue
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            os.chmod(path, 0o700)  # to look into it; and a directory that moves needs write permission, for its `..`
            children.append(path)
    return children


def _move_up(directory: str, top: str, numbers: Iterator[int]) -> str:
    while True:
        target = f"{top}/.{next(numbers):x}"
        try:
            os.rename(directory, target)
            return target
        except OSError as error:
            if error.errno not in _TAKEN:  # taken by a name of the tree's own
                raise


def has_mounts(directory: Path) -> bool:
    """Whether something is mounted below `directory`: deleting through a mount would reach files that are another's."""
    # /proc/self/mountinfo, fifth field: the mount point, with octal escapes for blanks and backslashes.
    prefix = os.fsencode(os.path.realpath(directory))
    for character in (b"\\", b" ", b"\t", b"\n"):
        prefix = prefix.replace(character, b"\\%03o" % character[0])
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    return any(line.split(b" ", 5)[4].startswith(prefix + b"/") for line in lines)
