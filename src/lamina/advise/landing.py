"""Where the files of a COPY land, by the tree of the last commit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.keys.select import select
from lamina.plan.steps import CopyOp


def landing(op: CopyOp, tree: Sequence[FileRecord]) -> Mapping[str, str] | None:
    """Absolute path in the image → path in the context, for all files and links that a COPY of the context copies
    (`image.place`). None where that cannot be told by names: archives, --parents, links, other origins."""
    if op.origin is not None or op.unpack or op.parents or not all(isinstance(one, str) for one in op.sources):
        return None
    found: dict[str, str] = {}
    root = op.dest.rstrip("/")
    for source in op.sources:
        assert isinstance(source, str)
        try:
            selections = select(tree, source, exclude=op.exclude)
        except BuildFailure:
            return None
        for one in selections:
            if not one.is_dir:
                if one.files[0].path != one.base:
                    return None
                beside = op.dest_is_dir or len(op.sources) > 1 or len(selections) > 1
                target = f"{root}/{one.base.rpartition('/')[2]}" if beside else op.dest
                found[target] = one.base
                continue
            strip = len(one.base) + 1 if one.base else 0
            for record in one.files:
                if record.kind != "dir":
                    found[f"{root}/{record.path[strip:]}"] = record.path
    return found


def overlap(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether some file of one copy lands where one of another does, or in its way."""
    folders = {folder for path in one for folder in _above(path)} | set(one)
    return any(path in folders or any(folder in one for folder in _above(path)) for path in other)


def share_folders(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether both put something into one folder, which belongs to the one that comes first, as it makes it."""
    return bool(
        {folder for path in one for folder in _above(path)} & {folder for path in other for folder in _above(path)}
    )


def meets(path: str, landed: Mapping[str, str]) -> bool:
    """Whether something lands at a path, below it, or instead of a folder above it."""
    inside = path.rstrip("/") + "/"
    return any(one == path or one.startswith(inside) or path.startswith(one + "/") for one in landed)


def _above(path: str) -> list[str]:
    found = []
    while path.rpartition("/")[0]:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
