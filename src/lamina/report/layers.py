"""What `lamina layers` prints: the layers as a table, waste with its remedy, the tree of files, a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.explain.layers import Comparison, Excess, Folder, Survey, Waste
from lamina.explain.layersteps import Layer
from lamina.explain.layertree import Mark, Node
from lamina.report.context import visible
from lamina.report.words import columns, size

#: One letter a mark; `removed` is a minus as in a diff.
MARKS: dict[Mark, str] = {"": " ", "added": "+", "changed": "~", "attributes": "@", "removed": "-"}
_VERBS = {
    "deleted": "deleted by a later layer",
    "overwritten": "overwritten by a later layer",
    "copied": "there twice, but for owner or mode",
    "repeated": "there twice, the same",
}
_TEXT, _PATH = 60, 64
#: Wastes, and names in one directory, that are told without --all.
_WASTES, _NAMES = 8, 20


def heading(name: str, platform: str, layers: Sequence[Layer], found: Survey) -> str:
    """`shop linux/amd64: 12.3MB in 5 layers (4.1MB compressed), 1023 files`."""
    known = [layer.compressed for layer in layers if layer.compressed is not None]
    packed = f" ({size(sum(known))} compressed)" if known and len(known) == len(layers) else ""
    many = f"{len(layers)} layer{'s' if len(layers) != 1 else ''}"
    entries = f"{found.files} file{'s' if found.files != 1 else ''}"
    return f"{visible(name)} {platform}: {size(found.size)} in {many}{packed}, {entries}"


def layer_lines(layers: Sequence[Layer], found: Survey, *, whole: bool = False) -> list[str]:
    """One line a layer, the lowest first."""
    rows = [("", "SIZE", "PACKED", "HIDDEN", "ADDED", "CHANGED", "REMOVED", "LINE", "INSTRUCTION")]
    for number, (layer, count) in enumerate(zip(layers, found.layers, strict=True)):
        packed = size(layer.compressed) if layer.compressed is not None else ""
        hidden = size(count.hidden) if count.hidden else ""
        changed = f"{count.changed or ''}{f' @{count.attributes}' if count.attributes else ''}".strip()
        line = "base" if layer.base else str(layer.span.line) if layer.span else ""
        numbers = (size(count.size), packed, hidden, str(count.added or ""), changed, str(count.removed or ""))
        rows.append((str(number + 1), *numbers, line, text_of(layer, whole=whole)))
    return columns(rows, gap=2)


def text_of(layer: Layer, *, whole: bool = False) -> str:
    """A layer's instruction on one line."""
    line = visible(" ".join(layer.text.split()))
    return line if whole or len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def waste_lines(layers: Sequence[Layer], found: Survey, *, whole: bool = False) -> list[str]:
    """What is shipped and not to be seen, the most first, each with what avoids it."""
    share = found.wasted / found.size if found.size else 0.0
    score = f"efficiency {found.efficiency:.1%} (as dive counts it)"
    if not found.wasted:
        return [f"Nothing is shipped that is not to be seen at the end; {score}."]
    lines = [f"{size(found.wasted)} ({share:.1%}) is shipped and not to be seen at the end; {score}:"]
    told = found.wastes if whole else found.wastes[:_WASTES]
    for waste in told:
        lines.append(f"  {size(waste.size)} in {_files(waste.files)}, {_VERBS[waste.sort]}: {_ways(layers, waste)}")
        lines.append(f"    fix: {waste.fix}")
        paths = waste.paths if whole else waste.paths[:3]
        more = waste.files - len(paths)
        names = ", ".join(f"/{short(path)} ({size(held)})" for path, held in paths)
        lines.append(f"    {names}{f', {more} more' if more else ''}")
    rest = found.wastes[len(told) :]
    if rest:
        lines.append(f"  and {size(sum(waste.size for waste in rest))} in {len(rest)} smaller heaps (--all tells them)")
    return lines


def excess_line(layers: Sequence[Layer], excess: Excess) -> str:
    """One line a limit that an image is over, with what has most to do with it."""
    where = _place(layers, excess.worst)
    text = text_of(layers[excess.worst])
    if excess.waste is None:
        return (
            f"over --max-size: {size(excess.found)} are more than {size(excess.allowed)}; most of it, "
            f"{size(excess.share)}, is in {where}: {text}"
        )
    return (
        f"over --max-waste: {size(excess.found)} are more than {size(excess.allowed)}; most of it, "
        f"{size(excess.share)}, is {_VERBS[excess.waste.sort]}, {where}: {text} (fix: {excess.waste.fix})"
    )


def tree_lines(top: Node, name: str, *, depth: int, whole: bool = False) -> list[str]:
    """The tree below a node, the biggest first: mark, size, name."""
    rows = [(_mark(top), _weight(top), visible(name))]
    rows += _branches(top, "", depth, whole)
    width = max(len(row[1]) for row in rows)
    return [f"{mark} {weight:>{width}}  {text}".rstrip() for mark, weight, text in rows]


def compared_lines(
    names: tuple[str, str], layers: tuple[Sequence[Layer], Sequence[Layer]], found: Comparison, *, whole: bool = False
) -> list[str]:
    """How two images differ: layers, directories, files."""
    moved = f", {len(found.moved)} more at another place" if found.moved else ""
    lines = [f"Both have the lowest {found.shared} of their layers ({len(layers[0])} and {len(layers[1])}){moved}."]
    for name, side in zip(names, layers, strict=True):
        own = [number for number in range(found.shared, len(side)) if side[number].diff_id not in found.moved]
        lines += [f"only {visible(name)}:"] if own else []
        lines += [f"  {_place(side, number)}: {text_of(side[number], whole=whole)}" for number in own]
    if not found.folders:
        return [*lines, "", "A container sees the same files in both."]
    lines += ["", f"Files: {_counts(found.total)}; {_growth(found.total)}"]
    told = found.folders if whole else found.folders[:_NAMES]
    lines += [f"  {row}" for row in columns([(f"/{short(one.path)}", _growth(one), _counts(one)) for one in told], 2)]
    lines += [f"  … {len(found.folders) - len(told)} more (--all tells them)"] if len(told) < len(found.folders) else []
    lines += ["", "The greatest changes:"]
    for change in found.paths:
        sizes = "" if change.kind != "file" else f" ({size(change.before)} → {size(change.after)})"
        lines.append(f"  {MARKS[change.change]} /{short(change.path)}{sizes}")
    return lines


def short(path: str) -> str:
    """A path for people: nothing that a terminal obeys, not longer than it is wide."""
    text = visible(path)
    return text if len(text) <= _PATH else f"{text[: _PATH // 2]}…{text[-(_PATH // 2 - 1) :]}"


def entry_words(node: Node) -> str:
    """An entry's name with a directory's slash, cut where it is too long."""
    return short(node.name) + ("/" if node.kind == "directory" else "")


def weight_words(node: Node) -> str:
    """An entry's bytes, and behind a minus those of what was removed."""
    return _weight(node)


def _branches(node: Node, indent: str, depth: int, whole: bool) -> Iterator[tuple[str, str, str]]:
    if depth <= 0:
        return
    children = node.ordered()
    told = children if whole or len(children) <= _NAMES + 1 else children[:_NAMES]
    for child in told:
        last = child is told[-1] and len(told) == len(children)
        kind = "" if child.kind in ("file", "directory") else f" ({child.kind})"
        yield _mark(child), _weight(child), f"{indent}{'└─ ' if last else '├─ '}{entry_words(child)}{kind}"
        yield from _branches(child, indent + ("   " if last else "│  "), depth - 1, whole)
    rest = children[len(told) :]
    if rest:
        yield " ", size(sum(child.size for child in rest)), f"{indent}└─ … {len(rest)} more (--all tells them)"


def _mark(node: Node) -> str:
    return MARKS[node.mark]


def _weight(node: Node) -> str:
    if node.gone and not node.size:
        return f"-{size(node.gone)}"
    return f"{size(node.size)} -{size(node.gone)}" if node.gone else size(node.size)


def _ways(layers: Sequence[Layer], waste: Waste) -> str:
    maker, hider = _place(layers, waste.maker), _place(layers, waste.hider)
    return f"{maker} ships it, {hider} hides it"


def _place(layers: Sequence[Layer], number: int) -> str:
    layer = layers[number]
    if layer.base:
        return f"the base image's layer {number + 1}"
    return f"line {layer.span.line}" if layer.span is not None else f"layer {number + 1}"


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"


def _counts(one: Folder) -> str:
    told = ((one.added, "added"), (one.changed, "changed"), (one.attributes, "with other owner or mode"))
    words = [f"{count} {word}" for count, word in (*told, (one.removed, "removed")) if count]
    return ", ".join(words)


def _growth(one: Folder) -> str:
    return f"{'+' if one.after >= one.before else '-'}{size(abs(one.after - one.before))}"
