"""What the layers of a stage hold, as it was built last: what each of its steps wrote, and which bytes nobody sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from lamina.oci.changes import Change, PathChanges


class Recorded(Struct, frozen=True):
    """A stage's layers. `texts` are those of the steps that made them, lowest first, on top of `base` layers that it
    found; `paths` are those that some step's layer has, in the order of names."""

    texts: tuple[str, ...]
    base: int
    paths: tuple[PathChanges, ...]

    def numbers(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """The layers of these steps, as `Change.layer` has them; None if one is not there, or is there twice."""
        if any(self.texts.count(text) != 1 for text in texts):
            return None
        return tuple(self.base + self.texts.index(text) for text in texts)


class Written(Struct, frozen=True):
    """A path (absolute) that steps have made, with all below it; `folder`: it is a directory."""

    path: str
    folder: bool


def written(recorded: Recorded, texts: Sequence[str], later: Sequence[str]) -> tuple[Written, ...] | None:
    """All that these steps have left: the topmost paths that were not there before and that no other step touches but
    `later` ones.

    None if that is not all, or if a COPY --from would not bring it as it is: other owners than root, files with several
    names, devices, links by their own name, a directory with a mode that is not the usual one.
    """
    numbers = recorded.numbers(texts)
    if numbers is None:
        return None
    own = frozenset(numbers)
    above = range(max(numbers) - recorded.base + 1, len(recorded.texts))
    allowed = own | {recorded.base + at for at in above if recorded.texts[at] in later}
    found: list[Written] = []
    for path, changes in recorded.paths:
        mine = [change for change in changes if change.layer in own]
        inside = bool(found) and path.startswith(found[-1].path[1:] + "/")
        if not mine and not inside:
            continue
        if any(change.layer not in allowed for change in changes):
            return None
        if not mine:
            continue
        last = mine[-1]
        if last.change == "removed":
            continue
        if not _is_plain(last) or (not inside and not _is_plain_top(last)):
            return None
        if not inside:
            found.append(Written(f"/{path}", last.kind == "directory"))
    return tuple(found)


def _is_plain(change: Change) -> bool:
    return change.owner == (0, 0) and not change.link and change.kind in ("directory", "file", "link")


def _is_plain_top(change: Change) -> bool:
    return change.kind == "file" or (change.kind == "directory" and change.mode & 0o7777 == 0o755)


def touched(recorded: Recorded, text: str) -> Iterator[str]:
    """The absolute paths that a step has to do with, those aside of directories that it only found."""
    numbers = recorded.numbers((text,)) or ()
    return (f"/{path}" for path, changes in recorded.paths if any(change.layer in numbers for change in changes))


def unseen(recorded: Recorded, first: Sequence[str], last: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """The bytes that the layers of `first` ship and those of `last` hide, which as one layer they would not ship; and
    their absolute paths, biggest first."""
    makers, hiders = recorded.numbers(first), recorded.numbers(last)
    if makers is None or hiders is None:
        return 0, ()
    hidden: list[tuple[int, str]] = []
    for path, changes in recorded.paths:
        for one, other in pairwise(changes):
            if one.layer in makers and other.layer in hiders and one.size and not one.link:
                hidden.append((one.size, f"/{path}"))
    return sum(size for size, _ in hidden), tuple(path for _, path in sorted(hidden, key=lambda one: (-one[0], one[1])))
