"""What each layer of a stack does to a path: the change types of image-spec's layer.md, as values."""

from __future__ import annotations

from typing import Literal, NamedTuple

ChangeKind = Literal["added", "changed", "attributes", "removed"]

#: `directory`, `file`, `link`, `pipe`, `character device`, `block device`.
EntryKind = str


class Change(NamedTuple):
    """What one layer does to one path.

    `layer` counts from 0, the lowest. `attributes` is an entry that is there again with the content that was there
    before: only its mode, owner, time or extended attributes can differ. `kind`, `mode` and `owner` are those of the
    new entry, of a `removed` one those of what was there. `size` is the bytes that the layer ships for the path: 0 for
    all but a file, and for all names but the first of a file with several. `was` is the bytes of the file that was to
    be seen there before. `link` is a number that the names of one file in a layer share, 0 for a file with one name.
    `swept`: removed because a directory above it was deleted.
    """

    layer: int
    change: ChangeKind
    kind: EntryKind
    size: int
    was: int = 0
    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    link: int = 0
    swept: bool = False


class PathChanges(NamedTuple):
    """A path (relative to the root, bytes that are no UTF-8 as surrogates) with all that happens to it, lowest first;
    never empty. It is there at the end unless the last change is `removed`."""

    path: str
    changes: tuple[Change, ...]


class FinalChange(NamedTuple):
    """A path that differs between the final views of two stacks: sizes in bytes before and after, 0 for all but files
    and for all names but the first of a file with several."""

    path: str
    change: ChangeKind
    kind: EntryKind
    before: int = 0
    after: int = 0
