"""What trees of files take on the disk, and what of it a tree shares with others by hard links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: An inode: device and number.
Inode = tuple[int, int]


def disk_bytes(path: Path) -> int:
    """The bytes that the file, or all below the directory, takes; several names of one file count once. A walk that
    follows no link; what cannot be looked at counts nothing."""
    return sum(measured([path]))


def measured(paths: Iterable[Path]) -> tuple[int, int]:
    """The bytes on the disk of these trees together: those that go when all of them go, and those of files that have
    more names than the ones met here. One `lstat` an entry."""
    linked: dict[Inode, list[int]] = {}
    alone = sum(_scan(path, linked) for path in paths)
    own = sum(size for size, names, met in linked.values() if names == met)
    return alone + own, sum(size for size, names, met in linked.values() if names != met)


class LayerSizes:
    """What each of several trees takes, by name, from one walk. Only files with several names are remembered singly."""

    def __init__(self, layers: Iterable[Path]) -> None:
        #: name → bytes of what no other tree can share.
        self._alone: dict[str, int] = {}
        #: Files that may be shared: bytes, names that it has, and names met in each tree.
        self._linked: dict[Inode, tuple[int, int, dict[str, int]]] = {}
        for layer in layers:
            linked: dict[Inode, list[int]] = {}
            alone = _scan(layer, linked)
            for inode, (size, names, met) in linked.items():
                if names == met:
                    alone += size
                else:
                    self._linked.setdefault(inode, (size, names, {}))[2][layer.name] = met
            self._alone[layer.name] = alone

    @property
    def total(self) -> int:
        """All of them together, each file once."""
        return sum(self._alone.values()) + sum(size for size, _, _ in self._linked.values())

    def freed(self, names: set[str]) -> int:
        """The bytes that go when these trees go."""
        shared = sum(
            size for size, links, met in self._linked.values() if met.keys() <= names and sum(met.values()) == links
        )
        return sum(self._alone.get(name, 0) for name in names) + shared

    def split(self) -> dict[str, tuple[int, int]]:
        """Tree → its own bytes, which go with it, and those that it shares with other trees."""
        shared = dict.fromkeys(self._alone, 0)
        for size, _, met in self._linked.values():
            for name in met:
                shared[name] += size
        return {name: (alone, shared[name]) for name, alone in self._alone.items()}


def _scan(path: Path, linked: dict[Inode, list[int]]) -> int:
    """Walk a tree: the bytes of its directories and of files with one name are returned; for files with several names,
    bytes, names, and names met are kept or added up in `linked`."""
    blocks = 0
    pending: list[str] = []
    with suppress(OSError):
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            blocks += status.st_blocks
            pending.append(os.fspath(path))
        else:
            _note(status, linked)
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:  # tight: the layer of a large COPY is all in this loop
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    blocks += status.st_blocks
                    pending.append(entry.path)
                elif status.st_nlink == 1:
                    blocks += status.st_blocks
                else:
                    _note(status, linked)
    return blocks * 512


def _note(status: os.stat_result, linked: dict[Inode, list[int]]) -> None:
    linked.setdefault((status.st_dev, status.st_ino), [status.st_blocks * 512, status.st_nlink, 0])[2] += 1
