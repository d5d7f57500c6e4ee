"""Recorded layers as values, for tests: what each step of a stage wrote."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.advise.recorded import Recorded
from lamina.advise.scene import Layers
from lamina.oci.changes import Change, PathChanges

#: Path → bytes of a file; -1 for one that is removed, -2 for a directory. With a `*` at the end: it belongs to another.
Layer = Mapping[str, int]


def layers_of(steps: Mapping[str, Layer], base: Layer | None = None) -> Layers:
    """Those of a stage with these steps, lowest first, above one layer with what `base` has."""
    found: dict[str, list[Change]] = {}
    for number, layer in enumerate((base or {}, *steps.values())):
        for name, size in layer.items():
            path = name.rstrip("*")
            known = found.setdefault(path, [])
            there = bool(known) and known[-1].change != "removed"
            owner = (1000, 1000) if name.endswith("*") else (0, 0)
            if size == -1:
                known.append(Change(number, "removed", "file", 0, known[-1].size))
            else:
                kind, mode = ("directory", 0o755) if size == -2 else ("file", 0o644)
                known.append(
                    Change(number, "changed" if there else "added", kind, max(size, 0), mode=mode, owner=owner)
                )
    names = sorted(found, key=lambda path: path.split("/"))
    kept = tuple(
        PathChanges(path, tuple(found[path])) for path in names if found[path][-1].layer or len(found[path]) > 1
    )
    recorded = Recorded(tuple(steps), 1, kept)
    return lambda text: recorded if text in steps else None
