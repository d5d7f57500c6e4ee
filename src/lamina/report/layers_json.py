"""The JSON of `lamina layers`: see `docs/formats/layers.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import to_builtins

from lamina.explain.layers import Comparison, Excess, Survey
from lamina.explain.layersteps import Layer
from lamina.explain.layertree import Node
from lamina.report.jsontext import json_page


def document(
    image: str, names: Sequence[str], platform: str, layers: Sequence[Layer], found: Survey, over: Sequence[Excess]
) -> dict[str, Any]:
    """One image; `over` are the limits that it is over."""
    return {
        "image": image,
        "names": list(names),
        "platform": platform,
        "size": found.size,
        "visible": found.visible,
        "wasted": found.wasted,
        "efficiency": found.efficiency,
        "files": found.files,
        "layers": [
            {**_layer(number, layer), **to_builtins(count)}
            for number, (layer, count) in enumerate(zip(layers, found.layers, strict=True))
        ],
        "waste": [
            {
                "sort": waste.sort,
                "made_by": waste.maker + 1,
                "hidden_by": waste.hider + 1,
                "size": waste.size,
                "files": waste.files,
                "paths": [{"path": f"/{path}", "size": size} for path, size in waste.paths],
                "name": waste.name,
                "fix": waste.fix,
            }
            for waste in found.wastes
        ],
        "over": [
            {"limit": one.limit, "allowed": one.allowed, "found": one.found, "worst": one.worst + 1, "share": one.share}
            for one in over
        ],
    }


def branch(node: Node, path: str, depth: int) -> dict[str, Any]:
    """A node and what lies below it, as deep as that."""
    fields: dict[str, Any] = {
        "path": path,
        "kind": node.kind,
        "mark": node.mark,
        "layer": node.layer + 1,
        "mode": f"{node.mode:04o}",
        "owner": list(node.owner),
        "size": node.size,
        "gone": node.gone,
        "entries": node.entries,
    }
    if depth > 0 and node.children:
        prefix = path if path.endswith("/") else f"{path}/"
        fields["children"] = [branch(child, prefix + child.name, depth - 1) for child in node.ordered()]
    return fields


def comparison(
    images: tuple[str, str], layers: tuple[Sequence[Layer], Sequence[Layer]], found: Comparison
) -> dict[str, Any]:
    """Two images."""
    return {
        "before": images[0],
        "after": images[1],
        "shared_layers": found.shared,
        "moved_layers": list(found.moved),
        "layers": {
            side: [_layer(number, layer) for number, layer in enumerate(those)]
            for side, those in zip(("before", "after"), layers, strict=True)
        },
        "total": _without_path(to_builtins(found.total)),
        "folders": [{**to_builtins(one), "path": f"/{one.path}"} for one in found.folders],
        "paths": [{**one._asdict(), "path": f"/{one.path}"} for one in found.paths],
    }


def dumped(fields: dict[str, Any]) -> str:
    return json_page(fields)


def _layer(number: int, layer: Layer) -> dict[str, Any]:
    return {
        "number": number + 1,
        "diff_id": layer.diff_id,
        "instruction": layer.text,
        "file": layer.span.file if layer.span else None,
        "line": layer.span.line if layer.span else None,
        "base": layer.base,
        "compressed": layer.compressed,
    }


def _without_path(fields: dict[str, Any]) -> dict[str, Any]:
    del fields["path"]
    return fields
