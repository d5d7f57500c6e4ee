"""What each layer of a stack does to each path, without mounting anything and with no more in memory than the
directories on the way.

All layers are read side by side, directory by directory. The rules of what hides what are overlayfs', as in `rootfs`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lamina.diagnostics import BuildFailure
from lamina.image.inventory_reading import Entry, Folder, Listing, Roots
from lamina.image.xattrs import Namespace
from lamina.oci.changes import Change, ChangeKind, PathChanges


class _Cut(NamedTuple):
    """From `layer` on nothing is to be seen of what lower layers have here; `swept`: a whiteout did it."""

    layer: int
    swept: bool


class _Frame(NamedTuple):
    path: str
    listing: Listing
    left: list[str]
    cuts: tuple[_Cut, ...]


def inventory(layers: Sequence[Path], namespace: Namespace = "trusted") -> Iterator[PathChanges]:
    """Every path that some layer has, but the root; `layers` lowest first, and equal ones may be one directory. In the
    order of names, a directory before what it holds. A directory that an upper layer has again as it was is no change.

    Raises BuildFailure `image-layer-unreadable`, `image-unsupported-layer`.
    """
    try:
        with Roots(layers) as roots:
            yield from _walk(roots, namespace)
    except OSError as error:
        raise BuildFailure("image-layer-unreadable", "cannot read a layer", cause=str(error)) from error


def _walk(roots: list[Folder], namespace: Namespace) -> Iterator[PathChanges]:
    seen: set[tuple[int, int]] = set()
    # The roots of layers always merge: no opaque mark counts there.
    stack = [_frame("", Listing(roots, namespace), ())]
    try:
        while stack:
            frame = stack[-1]
            if not frame.left:
                stack.pop().listing.close()
                continue
            name = frame.left.pop()
            entries = frame.listing.names.pop(name)
            path = f"{frame.path}/{name}" if frame.path else name
            changes = tuple(_changes(frame, name, entries, seen))
            if changes:
                yield PathChanges(path, changes)
            folders = [frame.listing.below(name, entry.layer) for entry in entries if entry.kind == "directory"]
            if folders:
                below = Listing(folders, namespace)
                cuts = {cut.layer: cut for cut in frame.cuts}
                cuts |= {entry.layer: _Cut(entry.layer, False) for entry in entries if entry.kind != "directory"}
                cuts |= {layer: _Cut(layer, False) for layer in below.opaque}
                cuts |= {entry.layer: _Cut(entry.layer, True) for entry in entries if entry.kind == "deletion"}
                stack.append(_frame(path, below, tuple(cuts[layer] for layer in sorted(cuts))))
    finally:
        for frame in stack:
            frame.listing.close()


def _frame(path: str, listing: Listing, cuts: tuple[_Cut, ...]) -> _Frame:
    return _Frame(path, listing, sorted(listing.names, key=os.fsencode, reverse=True), cuts)


def _changes(frame: _Frame, name: str, entries: list[Entry], seen: set[tuple[int, int]]) -> Iterator[Change]:
    """What happens to one name. `seen` are the files of which a name was met, by layer and inode."""
    by_layer = {entry.layer: entry for entry in entries}
    cuts = {cut.layer: cut for cut in frame.cuts}
    visible: Entry | None = None
    for layer in sorted(by_layer.keys() | cuts.keys()) if cuts else by_layer:
        entry = by_layer.get(layer)
        if entry is None or entry.kind == "deletion":
            if visible is not None:
                swept = entry is None and cuts[layer].swept
                yield _change(layer, "removed", visible, 0, visible.size, swept)
            visible = None
            continue
        known = (layer, entry.inode)
        size = 0 if entry.inode and known in seen else entry.size
        if entry.inode:
            seen.add(known)
        if visible is None:
            yield _change(layer, "added", entry, size)
        elif not frame.listing.same_content(name, visible, entry):
            yield _change(layer, "changed", entry, size, visible.size)
        elif entry.kind != "directory" or (entry.mode, entry.owner) != (visible.mode, visible.owner):
            yield _change(layer, "attributes", entry, size, visible.size)
        visible = entry


def _change(layer: int, change: ChangeKind, entry: Entry, size: int, was: int = 0, swept: bool = False) -> Change:
    return Change(layer, change, entry.kind, size, was, entry.mode, entry.owner, entry.inode, swept)
