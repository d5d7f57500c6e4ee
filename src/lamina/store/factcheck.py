"""Recomputing the lists of files in `facts/`: each must have the tree digest that its name says.

The files are read here, not through `Facts`, which deletes what is damaged as soon as it sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lamina.digest import Digest
from lamina.keys.filetree import tree_digest
from lamina.store import columns, packed
from lamina.store.failures import explained


def check_facts(directory: Path) -> Iterator[tuple[str, str]]:
    """The damaged files of a directory of lists: name, and what is wrong. One list, and the one that it is a difference
    to, are in memory at a time."""
    with explained(directory):
        names = sorted(path.name for path in directory.iterdir())
    bases = _Bases(directory)
    # Differences to one list follow each other, so that it is unpacked once.
    for _, name in sorted((bases.of(name) or "", name) for name in names):
        try:
            problem = _problem(directory / name, bases)
        except FileNotFoundError:
            continue  # another process deleted it meanwhile
        except OSError as error:
            problem = f"it cannot be read: {error.strerror}"
        if problem:
            yield name, problem


class _Bases:
    """The whole lists that others are differences to; the last one is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: tuple[str, bytes | None] = ("", None)

    def of(self, name: str) -> Digest | None:
        """What a list is a difference to; None if it is whole, gone or unreadable."""
        try:
            with (self._directory / name).open("rb") as file:
                return packed.needs(file.read(packed.HEAD))
        except OSError:
            return None

    def raw(self, digest: Digest) -> bytes | None:
        """The bytes of a whole list; None if it is damaged, gone or no whole one."""
        name = digest[7:]
        if self._last[0] != name:
            self._last = (name, self._read(name))
        return self._last[1]

    def _read(self, name: str) -> bytes | None:
        try:
            data = (self._directory / name).read_bytes()
            return None if packed.needs(data) else packed.unpack(data)
        except (OSError, ValueError):
            return None


def _problem(path: Path, bases: _Bases) -> str:
    data = path.read_bytes()
    base = packed.needs(data)
    base_raw = None if base is None else bases.raw(base)
    if base is not None and base_raw is None:
        return f"the list {base} that it is a difference to is gone or damaged"
    try:
        records = columns.from_bytes(packed.unpack(data, base_raw))
        # Owners count where a COPY keeps them; which it was is not written down.
        found = [tree_digest(records, owners=owners) for owners in (False, True)]
    except ValueError as error:
        return str(error)
    return "" if "sha256:" + path.name in found else f"its content is {found[0]}"
