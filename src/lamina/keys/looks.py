"""What a step looked at in the layers that were copied for it: the third way to hit (DESIGN: "by observation")."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from lamina.digest import DiffID
from lamina.keys.facts import FileChange

#: `entry`: what stat says of a path, or that there is nothing (asked for by name, or as a part of a longer path) ·
#: `list`: the names in a directory · `read`: a file's bytes, all or some · `link`: where a link points ·
#: `xattrs`: extended attributes.
LookKind = Literal["entry", "list", "read", "link", "xattrs"]

_TELLING: tuple[LookKind, ...] = ("read", "list", "link", "xattrs", "entry")

#: Bytes of one answer: a digest that nobody can meet by chance, and short, because there are many.
ANSWER = 16
#: The answer to an `entry` look for a path that a layer does not have (`image.answers` gives all answers).
NOT_THERE = hashlib.sha256(b"entry absent").digest()[:ANSWER]


#: What a step stands on: diff IDs, lowest first, each with whether a COPY or ADD made that layer.
Stack = tuple[tuple[DiffID, bool], ...]


class Look(Struct, frozen=True, order=True):
    """One look into one layer. `path` is relative to the layer's root, which is the empty path; text as file names are
    everywhere here, with surrogates for bytes that are no UTF-8."""

    path: str
    kind: LookKind


class SeenLayer(Struct, frozen=True):
    """What a step saw of one copied layer: its looks, sorted, and behind each other their answers (`ANSWER` bytes
    each): a digest of what the layer showed. `files` is how many files the layer has."""

    looks: tuple[Look, ...]
    answers: bytes
    files: int


class Observations(Struct, frozen=True):
    """All that a step saw of the copied layers that it stood on: `seen` has one entry for each, lowest first. Which
    layers those were stands in the step's record, so that the same observations on another stack are stored once."""

    seen: tuple[SeenLayer, ...]

    @property
    def read(self) -> int:
        """How many files were read, wholly or in part."""
        return sum(look.kind == "read" for layer in self.seen for look in layer.looks)

    @property
    def files(self) -> int:
        return sum(layer.files for layer in self.seen)


def first_broken(seen: SeenLayer, answers: bytes) -> Look | None:
    """The first look that another layer answers otherwise; None if it shows all that was seen."""
    if answers == seen.answers:
        return None
    if len(answers) != len(seen.answers):
        raise ValueError("the answers are not those to these looks")
    return foremost(
        look
        for number, look in enumerate(seen.looks)
        if answers[number * ANSWER : (number + 1) * ANSWER] != seen.answers[number * ANSWER : (number + 1) * ANSWER]
    )


def foremost(looks: Iterable[Look]) -> Look | None:
    """The look to tell of several that are answered otherwise, sorted by path: of the first path what says most."""
    found: Look | None = None
    for look in looks:
        if found is not None and look.path != found.path:
            break
        if found is None or _TELLING.index(look.kind) < _TELLING.index(found.kind):
            found = look
    return found


def fits(now: Stack, then: Stack) -> bool:
    """Whether two stacks differ in nothing but copied layers, so that looks decide."""
    return len(now) == len(then) and all(
        one == other or (one[1] and other[1]) for one, other in zip(now, then, strict=True)
    )


class Altered(Struct, frozen=True):
    """What a change of files means for looks: paths that are new or gone, and paths that are otherwise."""

    appeared: frozenset[str]
    other: frozenset[str]

    def breaks(self, look: Look) -> bool:
        """Whether a look is answered otherwise now; so is a listing of the folder where a name appeared or went."""
        if look.path in self.other or look.path in self.appeared:
            return True
        if look.kind == "list":
            return any(path.rpartition("/")[0] == look.path for path in self.appeared)
        return False


def altered(changes: Iterable[FileChange], prefix: str) -> Altered:
    """The changes of a copied tree in the layer that they make; `prefix` is the destination, without slashes around."""
    paths = [
        (change.kind, f"{prefix}/{change.path}".strip("/") if change.path != "." else prefix) for change in changes
    ]
    moved = {path for kind, path in paths if kind in ("added", "removed", "type")}
    return Altered(frozenset(moved), frozenset(path for _, path in paths) - moved)
