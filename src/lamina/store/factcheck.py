"""Recomputing what was kept about files: each list in `facts/` must have the tree digest that its name says, and what
steps looked at (`looks/`) the digest of its bytes.

The files are read here, not through `Facts` and its like, which delete what is damaged as soon as they see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lamina.digest import Digest, digest_of
from lamina.keys.filetree import tree_digest
from lamina.store import columns, packed
from lamina.store.failures import explained

_HEX = re.compile(r"[0-9a-f]{64}\Z")


def check_facts(directory: Path) -> Iterator[tuple[str, str]]:
    """The damaged files of a directory of lists: name, and what is wrong. One list, and the one that it is a difference
    to, are in memory at a time."""
    names = _names(directory)
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


def check_looks(directory: Path) -> Iterator[tuple[str, str]]:
    """The damaged files of a directory of observations, which need not be there."""
    for name in _names(directory):
        try:
            found = digest_of(packed.unpack((directory / name).read_bytes()))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield name, f"it cannot be read: {error}"
            continue
        if found != "sha256:" + name:
            yield name, f"its content is {found}"


def _names(directory: Path) -> list[str]:
    with explained(directory), suppress(FileNotFoundError):
        return sorted(path.name for path in directory.iterdir() if is_hex(path.name))
    return []


def is_hex(name: str) -> bool:
    """Whether a file is named after a digest: nothing else there is the store's."""
    return _HEX.match(name) is not None


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
