"""What is in a context and why: the data behind `lamina context ls`, `why` and `du`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lamina.context.ignore_file import load_rules
from lamina.context.scan import Scan, open_root, scan
from lamina.dockerfile.ignore import IgnoreRule, IgnoreRules
from lamina.keys.filetree import FileRecord
from lamina.keys.select import clean, lookup

Fate = Literal["included", "excluded", "unreadable", "missing"]


class Look(Struct, frozen=True):
    """A context with its ignore rules and without them."""

    rules: IgnoreRules | None
    kept: Scan
    everything: Scan


class Reason(Struct, frozen=True):
    """What became of a path. `rule` is the last rule that speaks of it or of a directory above it, if any does; its
    place is in the ignore file. `cause` is the system's word about a directory that could not be read."""

    path: str
    fate: Fate
    rule: IgnoreRule | None = None
    cause: str | None = None


class Usage(Struct, frozen=True):
    """What an entry weighs: `files` regular files of `size` bytes together, for a directory all that is below it."""

    path: str
    is_dir: bool
    files: int
    size: int


def look(directory: Path, dockerfile: Path | None, *, whole: bool = True) -> Look:
    """Walk a context both ways; without `whole` only as the rules have it, and `everything` is the same. `dockerfile`
    may bring an ignore file of its own.

    Raises BuildFailure `context-…` for an unusable directory or ignore file.
    """
    root = open_root(str(directory))
    try:
        rules = load_rules(directory, dockerfile)
        kept = scan(root, rules)
        return Look(rules, kept, scan(root) if whole and rules is not None else kept)
    finally:
        os.close(root)


def place(directory: Path, path: str) -> str | None:
    """A path as a user gives it, relative to the context, "" for the context itself; None if it leads out of it.

    A relative path counts from the context, as in COPY; an absolute one is of this machine, and a link inside
    the context is not followed.
    """
    if path.startswith("/"):
        trimmed = path.rstrip("/") or "/"
        parent, name = os.path.split(trimmed)
        root = os.path.realpath(directory)
        for real in (os.path.join(os.path.realpath(parent), name), os.path.realpath(trimmed)):
            inner = os.path.relpath(real, root)
            if inner != ".." and not inner.startswith("../"):
                return "" if inner == "." else inner
        return None
    depth = 0
    for part in path.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return None
    return "/".join(clean(path))


def why(scan: Scan, rules: IgnoreRules | None, path: str) -> Reason:
    """Why a path (relative to the context, spelled in any way) is in the context or is not.

    `excluded` is about the rules alone, whether or not something exists there; so a COPY source that selects nothing
    can be told apart: hidden by a rule, below an unreadable directory, or truly missing.
    """
    parts = clean(path)
    name = "/".join(parts)
    rule = rules.deciding_rule(name) if rules is not None and parts else None
    above = ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]
    blocked = next((directory for directory in above if directory in scan.unreadable), None)
    if not parts or lookup(scan.records, name) is not None:
        return Reason(name, "included", rule)
    if rules is not None and rules.excluded(name):
        return Reason(name, "excluded", rule)
    if blocked is not None:
        return Reason(name, "unreadable", rule, f"{blocked}: {scan.unreadable[blocked]}")
    return Reason(name, "missing", rule)


def usage(records: Sequence[FileRecord]) -> tuple[Usage, ...]:
    """The weight of every entry, biggest first, then by path; the whole context is the entry with the path ""."""
    totals: dict[str, tuple[int, int]] = {"": (0, 0)}
    for record in records:
        own = (1, record.size) if record.kind == "file" else (0, 0)
        above = record.path
        totals.setdefault(above, (0, 0))
        while own[0]:
            files, size = totals.get(above, (0, 0))
            totals[above] = (files + own[0], size + own[1])
            if not above:
                break
            above = above.rpartition("/")[0]
    directories = {record.path for record in records if record.kind == "dir"} | {""}
    found = [Usage(path, path in directories, files, size) for path, (files, size) in totals.items()]
    return tuple(sorted(found, key=lambda entry: (-entry.size, entry.path)))
