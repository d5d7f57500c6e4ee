"""The tree of an image's files, or of what one layer does to them, with sizes summed up and marks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from lamina.oci.changes import Change, EntryKind, PathChanges

Mark = Literal["", "added", "changed", "attributes", "removed"]


class Node:
    """One entry. `size` is the bytes of its file, or of all below; `gone` the same of what was removed. `mark` is what
    happened to it, empty for nothing (of a directory: to itself). `layer` did that last, from 0. `entries` is how many
    entries lie below, `children` are None where nothing can."""

    __slots__ = ("children", "entries", "gone", "kind", "layer", "mark", "mode", "name", "owner", "size")

    def __init__(self, name: str, kind: EntryKind = "directory") -> None:
        self.name = name
        self.kind = kind
        self.mark: Mark = ""
        self.layer = 0
        self.size = self.gone = self.entries = 0
        self.mode, self.owner = 0, (0, 0)
        self.children: dict[str, Node] | None = {} if kind == "directory" else None

    def ordered(self, *, by_size: bool = True) -> list[Node]:
        """The children, the biggest first or by name."""
        children = (self.children or {}).values()
        if by_size:
            return sorted(children, key=lambda node: (-(node.size + node.gone), node.name))
        return sorted(children, key=lambda node: node.name)

    def find(self, path: str) -> Node | None:
        """The node at a path below; None if there is none."""
        node: Node | None = self
        for name in filter(None, path.split("/")):
            node = node.children.get(name) if node is not None and node.children else None
        return node


def tree(
    paths: Iterable[PathChanges], *, layer: int | None = None, base: int = 1, top: str = "", depth: int | None = None
) -> Node:
    """The tree of the whole image, or of what `layer` does. In the whole one, marks tell what the layers above the
    lowest `base` did, and what these removed is there as well. `top` is a path: only what lies there and on the way is
    kept; `depth` levels below it have nodes, what is deeper is summed up."""
    root = Node("")
    above = top.strip("/")
    levels = None if depth is None else depth + (above.count("/") + 1 if above else 0)
    unplaced: dict[tuple[int, int], int] = {}
    for found in paths:
        if layer is None:
            found = _with_bytes(found, unplaced)
        if above and not _on_the_way(found.path, above):
            continue
        told = _of_layer(found, layer) if layer is not None else _at_the_end(found, base)
        if told is not None:
            _add(root, found.path.split("/"), *told, levels)
    return root


def walk(node: Node) -> Iterator[Node]:
    """All nodes below."""
    waiting = [node]
    while waiting:
        for child in (waiting.pop().children or {}).values():
            yield child
            waiting.append(child)


def _on_the_way(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/") or top.startswith(f"{path}/")


def _with_bytes(found: PathChanges, unplaced: dict[tuple[int, int], int]) -> PathChanges:
    """A file with several names has its bytes at the first that is to be seen at the end. `unplaced` are the bytes of
    such files whose first names were hidden, by layer and link."""
    if all(not change.link for change in found.changes):
        return found
    last = found.changes[-1]
    for change in found.changes:
        if change.link and change.size and (change is not last or change.change == "removed"):
            unplaced[change.layer, change.link] = change.size
    if last.change == "removed" or last.size:
        return found
    size = unplaced.pop((last.layer, last.link), 0)
    return PathChanges(found.path, (*found.changes[:-1], last._replace(size=size)))


def _of_layer(found: PathChanges, layer: int) -> tuple[Change, Mark, int] | None:
    change = next((one for one in found.changes if one.layer == layer), None)
    return None if change is None else (change, change.change, change.size)


def _at_the_end(found: PathChanges, base: int) -> tuple[Change, Mark, int] | None:
    last = found.changes[-1]
    size = 0 if last.change == "removed" else last.size
    if last.layer < base:
        return None if last.change == "removed" else (last, "", size)
    # Of the base image's if its layers left something to be seen.
    below = [one for one in found.changes if one.layer < base]
    there = bool(below) and below[-1].change != "removed"
    if last.change == "removed" or there:
        return last, last.change if last.change != "added" else "changed", size
    return last, "added", size


def _add(root: Node, names: list[str], change: Change, mark: Mark, size: int, levels: int | None) -> None:
    gone = change.was if mark == "removed" else 0
    entry = 0 if change.kind == "directory" else 1
    node = root
    last = len(names) - 1
    for number, name in enumerate(names):
        node.size += size
        node.gone += gone
        node.entries += entry
        if levels is not None and number >= levels:
            return
        if node.children is None:
            node.children = {}  # a file that was a directory in a lower layer, of which the rest is told
        below = node.children.get(name)
        if below is None:
            below = node.children[name] = Node(name, change.kind if number == last else "directory")
        node = below
    if node.kind != change.kind:
        node.kind = change.kind
    node.mark, node.layer = mark, change.layer
    node.mode, node.owner = change.mode, change.owner
    node.size += size
    node.gone += gone
