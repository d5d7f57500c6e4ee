"""What the layers of an image hold, add, hide and waste. Pure: it counts what an inventory says of each path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from lamina.explain.layersteps import Layer
from lamina.explain.layerwaste import Remedy, Sort, remedy
from lamina.oci.changes import Change, FinalChange, PathChanges

#: Paths of a waste that are kept as examples.
_EXAMPLES = 5


class LayerCount(Struct, frozen=True):
    """One layer: bytes of its files; how many of its entries (directories aside) are `added`, `changed`, the same with
    other `attributes`, and how many it `removed`; `hidden` of its bytes are not to be seen at the end."""

    size: int = 0
    added: int = 0
    changed: int = 0
    attributes: int = 0
    removed: int = 0
    hidden: int = 0


class Waste(Struct, frozen=True):
    """Bytes that the layer `maker` ships and the layer `hider` hides (both from 0), for one sort and remedy. `files` is
    how many; `paths` the biggest, with their bytes; `fix` what avoids it, with both steps named."""

    sort: Sort
    maker: int
    hider: int
    size: int
    files: int
    paths: tuple[tuple[str, int], ...]
    name: str
    fix: str


class Survey(Struct, frozen=True):
    """A whole image. `size` is the bytes of all layers' files, `visible` what of that is to be seen at the end in
    `files` entries; `wastes` add up to the difference, the greatest first. `efficiency` from 0 to 1, as dive has it."""

    layers: tuple[LayerCount, ...]
    size: int
    visible: int
    files: int
    wastes: tuple[Waste, ...]
    efficiency: float

    @property
    def wasted(self) -> int:
        return self.size - self.visible


class _Count:
    """A `LayerCount` in the making."""

    __slots__ = ("added", "attributes", "changed", "hidden", "removed", "size")

    def __init__(self) -> None:
        self.size = self.added = self.changed = self.attributes = self.removed = self.hidden = 0


class _Linked:
    """A file of a layer with several names: wasted if all of them are hidden; `hidden` is how the last one was."""

    __slots__ = ("hidden", "names", "path", "size")

    def __init__(self, path: str) -> None:
        self.path, self.size, self.names = path, 0, 0
        self.hidden: tuple[Change, Change] | None = None


class _Heap:
    """A `Waste` in the making."""

    __slots__ = ("files", "paths", "size")

    def __init__(self) -> None:
        self.size = self.files = 0
        self.paths: list[tuple[int, str]] = []

    def add(self, path: str, size: int) -> None:
        self.size += size
        self.files += 1
        self.paths.append((-size, path))
        if len(self.paths) > 8 * _EXAMPLES:
            self.paths = sorted(self.paths)[:_EXAMPLES]


class _Surveyor:
    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self.counts = [_Count() for _ in layers]
        self.files = 0
        self.smallest = self.discovered = 0
        self._heaps: dict[tuple[int, int, Sort, str], _Heap] = {}
        self._remedies: dict[str, Remedy] = {}
        self._linked: dict[tuple[int, int], _Linked] = {}

    def add(self, found: PathChanges) -> None:
        before: Change | None = None
        sizes: list[int] = []
        for change in found.changes:
            self._count(change)
            if before is not None:
                self._hide(found.path, before, change)
            if change.kind != "directory" and not change.swept:
                sizes.append(change.size)
            if change.swept:
                # As dive has it: a deleted directory counts what it hides, once as found and once as needed.
                self.smallest += change.was
                self.discovered += change.was
            if change.link and change.change != "removed":
                linked = self._linked.setdefault((change.layer, change.link), _Linked(found.path))
                linked.names += 1
                linked.size += change.size
            before = None if change.change == "removed" else change
        if before is not None and before.kind != "directory":
            self.files += 1
        if sizes:
            self.smallest += min(sizes)
            self.discovered += sum(sizes)

    def end(self) -> None:
        """To be called once, after the last path."""
        for linked in self._linked.values():
            if not linked.names and linked.hidden is not None:
                self._waste(linked.path, linked.size, *linked.hidden)
        self._linked.clear()

    def wastes(self) -> tuple[Waste, ...]:
        found = []
        for (maker, hider, sort, name), heap in self._heaps.items():
            paths = tuple((path, -size) for size, path in sorted(heap.paths)[:_EXAMPLES])
            fix = self._remedies[name].words.format(maker=self._step(maker), hider=self._step(hider))
            found.append(Waste(sort, maker, hider, heap.size, heap.files, paths, name, fix))
        return tuple(sorted(found, key=lambda waste: (-waste.size, waste.maker, waste.hider, waste.sort, waste.name)))

    def _count(self, change: Change) -> None:
        count = self.counts[change.layer]
        count.size += change.size
        if change.kind != "directory":
            setattr(count, change.change, getattr(count, change.change) + 1)

    def _hide(self, path: str, before: Change, after: Change) -> None:
        if before.link:
            linked = self._linked[before.layer, before.link]
            linked.names -= 1
            linked.hidden = (before, after)
        else:
            self._waste(path, before.size, before, after)

    def _waste(self, path: str, size: int, before: Change, after: Change) -> None:
        if not size:
            return
        self.counts[before.layer].hidden += size
        sort, keywords = _sort(before, after), (self.layers[before.layer].keyword, self.layers[after.layer].keyword)
        found = remedy(sort, f"/{path}", *keywords)
        self._remedies[found.name] = found
        self._heaps.setdefault((before.layer, after.layer, sort, found.name), _Heap()).add(path, size)

    def _step(self, number: int) -> str:
        layer = self.layers[number]
        if layer.base:
            return "the base image"
        return f"line {layer.span.line}" if layer.span is not None else f"layer {number + 1}"


def survey(layers: Sequence[Layer], paths: Iterable[PathChanges]) -> Survey:
    """Count an inventory, whose layers `layers` are, lowest first; each path is looked at once and let go."""
    surveyor = _Surveyor(layers)
    for found in paths:
        surveyor.add(found)
    surveyor.end()
    counts = tuple(
        LayerCount(one.size, one.added, one.changed, one.attributes, one.removed, one.hidden) for one in surveyor.counts
    )
    size, hidden = sum(one.size for one in counts), sum(one.hidden for one in counts)
    efficiency = surveyor.smallest / surveyor.discovered if surveyor.discovered else 1.0
    return Survey(counts, size, size - hidden, surveyor.files, surveyor.wastes(), efficiency)


def _sort(before: Change, after: Change) -> Sort:
    if after.change == "removed":
        return "deleted"
    if after.change == "changed":
        return "overwritten"
    return "repeated" if (before.mode, before.owner) == (after.mode, after.owner) else "copied"


class Excess(Struct, frozen=True):
    """A limit that an image is over, in bytes; `worst` is the layer (from 0) that has most to do with it, and `share`
    its bytes. `waste` for the greatest waste."""

    limit: Literal["size", "waste"]
    allowed: int
    found: int
    worst: int
    share: int
    waste: Waste | None = None


def excesses(
    layers: Sequence[Layer], found: Survey, max_size: int | None, max_waste: int | float | None
) -> tuple[Excess, ...]:
    """The limits that an image is over. `max_waste` is bytes, or as a float a share of the image's size from 0 to 1.
    What the base image hides of its own is nobody's fault here and does not count."""
    over = []
    if max_size is not None and found.size > max_size:
        worst = max(range(len(layers)), key=lambda number: (found.layers[number].size, number))
        over.append(Excess("size", max_size, found.size, worst, found.layers[worst].size))
    if max_waste is not None:
        allowed = int(max_waste * found.size) if isinstance(max_waste, float) else max_waste
        own = [waste for waste in found.wastes if not layers[waste.hider].base]
        wasted = sum(waste.size for waste in own)
        if wasted > allowed:
            over.append(Excess("waste", allowed, wasted, own[0].hider, own[0].size, own[0]))
    return tuple(over)


class Folder(Struct, frozen=True):
    """What differs below one directory at the top (or of one entry there): `before` and `after` are the bytes of what
    differs."""

    path: str
    added: int = 0
    changed: int = 0
    attributes: int = 0
    removed: int = 0
    before: int = 0
    after: int = 0


class Comparison(Struct, frozen=True):
    """Two images. `shared` layers, from the lowest, are the same in both; `moved` are diff IDs that both have, but on
    other layers. `folders`: the greatest difference of size first. `paths`: the greatest changes. `sizes` of both, all
    layers."""

    shared: int
    moved: tuple[str, ...]
    folders: tuple[Folder, ...]
    paths: tuple[FinalChange, ...]
    total: Folder


def compared(
    before: Sequence[Layer], after: Sequence[Layer], changes: Iterable[FinalChange], *, most: int = 20
) -> Comparison:
    """How two images differ; `most` is how many paths are kept."""
    shared = 0
    for one, other in zip(before, after, strict=False):
        if one.diff_id != other.diff_id:
            break
        shared += 1
    rest = {layer.diff_id for layer in before[shared:]}
    moved = tuple(layer.diff_id for layer in after[shared:] if layer.diff_id in rest)
    folders: dict[str, list[int]] = {}
    greatest: list[FinalChange] = []
    order = {"added": 0, "changed": 1, "attributes": 2, "removed": 3}
    for change in changes:
        if change.kind == "directory" and change.change in ("added", "removed"):
            continue  # what it holds is told
        counts = folders.setdefault(change.path.partition("/")[0], [0] * 6)
        counts[order[change.change]] += 1
        counts[4] += change.before
        counts[5] += change.after
        greatest.append(change)
        if len(greatest) > 8 * most:
            greatest = sorted(greatest, key=_weight)[:most]
    found = [Folder(path, *counts) for path, counts in folders.items()]
    total = Folder("", *(sum(column) for column in zip(*folders.values(), strict=True))) if folders else Folder("")
    ordered = sorted(found, key=lambda one: (-abs(one.after - one.before), one.path))
    return Comparison(shared, moved, tuple(ordered), tuple(sorted(greatest, key=_weight)[:most]), total)


def _weight(change: FinalChange) -> tuple[int, int, str]:
    """A change of size weighs most, then what was written anew."""
    return (-abs(change.after - change.before), -max(change.before, change.after), change.path)
