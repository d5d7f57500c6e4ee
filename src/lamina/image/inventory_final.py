"""How the final views of two stacks differ: what a container of the one would see otherwise than one of the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.image.inventory_reading import Entry, Folder, Listing, Roots
from lamina.image.xattrs import Namespace
from lamina.oci.changes import FinalChange


def final_changes(
    before: Sequence[Path], after: Sequence[Path], namespace: Namespace = "trusted"
) -> Iterator[FinalChange]:
    """One change a path that differs, times and extended attributes aside; both stacks lowest first. What both take
    from the same layers is not looked at.

    Raises BuildFailure `image-layer-unreadable`, `image-unsupported-layer`.
    """
    # One stack above the other, so that one listing holds both; nothing is seen through the seam between them.
    layers, seam = [*before, *after], len(before)
    try:
        with Roots(layers) as roots:
            yield from _walk(roots, [os.fspath(layer) for layer in layers], seam, namespace)
    except OSError as error:
        raise BuildFailure("image-layer-unreadable", "cannot read a layer", cause=str(error)) from error


def _walk(roots: list[Folder], layers: list[str], seam: int, namespace: Namespace) -> Iterator[FinalChange]:
    seen: set[tuple[int, int]] = set()
    top = Listing(roots, namespace)
    stack = [("", top, _names(top))]
    try:
        while stack:
            parent, listing, left = stack[-1]
            if not left:
                stack.pop()[1].close()
                continue
            name = left.pop()
            entries = listing.names.pop(name)
            path = f"{parent}/{name}" if parent else name
            old, new = _merged([one for one in entries if one.layer < seam]), _merged(entries, seam)
            found = _difference(path, name, listing, old, new)
            if found is not None:
                yield found._replace(before=_size(old, seen), after=_size(new, seen))
            dirs = sorted([*_dirs(old), *_dirs(new)])  # the lowest first
            sides = [[layers[one.layer] for one in side] for side in (_dirs(old), _dirs(new))]
            if dirs and sides[0] != sides[1]:
                below = _opened(listing, name, dirs, seam, namespace)
                stack.append((path, below, _names(below)))
    finally:
        for _, listing, _ in stack:
            listing.close()


def _opened(listing: Listing, name: str, dirs: list[Entry], seam: int, namespace: Namespace) -> Listing:
    """The directories of one path, without those that an opaque one of their side hides."""
    folders = [listing.below(name, one.layer) for one in dirs]
    below = Listing(folders, namespace)
    floors = [max([layer for layer in below.opaque if (layer >= seam) is side], default=0) for side in (False, True)]
    hidden = {one.layer for one in dirs if one.layer < floors[one.layer >= seam]}
    if hidden:
        for each, entries in list(below.names.items()):
            kept = [one for one in entries if one.layer not in hidden]
            if kept:
                below.names[each] = kept
            else:
                del below.names[each]
    return below


def _names(listing: Listing) -> list[str]:
    return sorted(listing.names, key=os.fsencode, reverse=True)


def _merged(entries: list[Entry], first: int = 0) -> list[Entry]:
    """What is to be seen of one side, topmost first: one entry that is no directory, or the directories that merge."""
    found: list[Entry] = []
    for entry in reversed(entries):
        if entry.layer < first or entry.kind == "deletion":
            break
        if entry.kind != "directory":
            return found or [entry]
        found.append(entry)
    return found


def _dirs(side: list[Entry]) -> list[Entry]:
    return [one for one in side if one.kind == "directory"]


def _difference(path: str, name: str, listing: Listing, old: list[Entry], new: list[Entry]) -> FinalChange | None:
    if not old and not new:
        return None
    if not old:
        return FinalChange(path, "added", new[0].kind)
    if not new:
        return FinalChange(path, "removed", old[0].kind)
    one, other = old[0], new[0]
    if not listing.same_content(name, one, other):
        return FinalChange(path, "changed", other.kind)
    if (one.mode, one.owner) != (other.mode, other.owner) and one.kind != "link":
        return FinalChange(path, "attributes", other.kind)
    return None


def _size(side: list[Entry], seen: set[tuple[int, int]]) -> int:
    """The bytes of what is to be seen; `seen` are the files of which a name was counted, by layer and inode."""
    if not side or (side[0].layer, side[0].inode) in seen:
        return 0
    if side[0].inode:
        seen.add((side[0].layer, side[0].inode))
    return side[0].size
