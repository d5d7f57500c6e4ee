"""COPY and ADD sources → what they select among sorted file records (features of Dockerfiles: "COPY / ADD").

Sources are rooted at the context and cleaned as a path (`..` stops at the root, a trailing slash says nothing). A
directory selects itself and everything below. `*`, `?` and `[…]` are Go's `filepath.Match`, component by component.
A symbolic link that the source itself names or matches, or goes through before its first wildcard, is followed as if
the context were the root of a file system; links inside a selected directory stay links.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter

from lamina.diagnostics import Span
from lamina.dockerfile.globs import match
from lamina.keys.filetree import FileRecord
from lamina.keys.filetree import Selection as Selection
from lamina.keys.narrow import pivot, with_parents, without

_path = attrgetter("path")
#: Linux follows at most this many links in one lookup (path_resolution(7)).
_MAX_LINKS = 40
_ROOT = FileRecord("", "dir", 0o755)


def has_wildcard(source: str) -> bool:
    """Whether a source is a pattern. One that is not, and selects nothing, is an error that the caller raises."""
    escaped = False
    for char in source:
        if not escaped and char in "*?[":
            return True
        escaped = char == "\\" and not escaped
    return False


def select(
    records: Sequence[FileRecord],
    source: str,
    *,
    span: Span | None = None,
    parents: bool = False,
    exclude: Sequence[str] = (),
) -> tuple[Selection, ...]:
    """What `source` selects among `records` (sorted by path, paths relative to the context root), in the
    order of Go's directory walk: by name, one component after the other. `parents` and `exclude`: see `keys.narrow`.

    Empty if a literal names nothing, a link whose target is not among the records included, or if a pattern matches
    nothing. A dangling link that a pattern matches is selected as the link that it is. Raises BuildFailure
    `dockerfile-bad-pattern` or `context-bad-ignore-pattern` at `span`.
    """
    if parents:
        top, pattern = pivot(source)
        below = (with_parents(one, pattern, span) for one in _select(records, top, span))
        found = tuple(chain.from_iterable(below))
    else:
        found = _select(records, source, span)
    return without(found, exclude, span)


def _select(records: Sequence[FileRecord], source: str, span: Span | None) -> tuple[Selection, ...]:
    parts = clean(source)
    fixed = next((index for index, part in enumerate(parts) if has_wildcard(part)), len(parts))
    for part in parts[fixed:]:
        # Whatever there is to match: a malformed pattern is an error in an empty context too.
        match(part, "", span=span)
    start = _resolve(records, parts[:fixed])
    if start is None:
        return ()
    if fixed == len(parts):
        return (_selection(records, "/".join(parts), start),)
    if start.kind != "dir":
        return ()
    found = []
    for record in _expand(records, start.path, parts[fixed:]):
        target = _resolve(records, record.path.split("/"))
        found.append(_selection(records, record.path, target or record))
    return tuple(found)


def near(records: Sequence[FileRecord], source: str) -> tuple[str, ...]:
    """Up to five paths that a literal source which named nothing may have meant, best first: its own spelling in
    other letter case or in another directory, then similar names in its directory."""
    from difflib import get_close_matches

    parts = clean(source)
    if not parts:
        return ()
    wanted = "/".join(parts)
    folded, tail = wanted.casefold(), "/" + parts[-1].casefold()
    paths = [record.path for record in records]
    same = [path for path in paths if path.casefold() == folded]
    elsewhere = [path for path in paths if ("/" + path).casefold().endswith(tail)]
    parent = _resolve(records, parts[:-1])
    siblings = [record.path for record in _children(records, parent.path)] if parent else []
    similar = get_close_matches(wanted, siblings, n=5, cutoff=0.7)
    shortest_first = sorted(elsewhere, key=lambda path: (path.count("/"), path))
    return tuple(dict.fromkeys(same + similar + shortest_first))[:5]


def clean(source: str) -> list[str]:
    """The components of a source, rooted at the context: no empty ones, no `.`, and `..` clipped at the root."""
    parts: list[str] = []
    for part in source.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def lookup(records: Sequence[FileRecord], path: str) -> FileRecord | None:
    """The record with exactly this path."""
    index = bisect_left(records, path, key=_path)
    return records[index] if index < len(records) and records[index].path == path else None


def _resolve(records: Sequence[FileRecord], parts: Sequence[str]) -> FileRecord | None:
    """The record that a path leads to when every link on the way is followed inside the root; None if none does."""
    todo, at, followed = list(reversed(parts)), _ROOT, 0
    while todo:
        part = todo.pop()
        if at.kind != "dir":
            return None
        if part in ("", "."):
            continue
        if part == "..":
            at = lookup(records, at.path.rpartition("/")[0]) or _ROOT
            continue
        step = lookup(records, f"{at.path}/{part}" if at.path else part)
        if step is None:
            return None
        if step.kind != "link":
            at = step
            continue
        followed += 1
        if followed > _MAX_LINKS:
            return None
        todo.extend(reversed(step.target.split("/")))
        if step.target.startswith("/"):
            at = _ROOT
    return at


def _selection(records: Sequence[FileRecord], base: str, record: FileRecord) -> Selection:
    if record.kind != "dir":
        return Selection(base, False, (record,))
    low, high = _below(records, record.path)
    own = (record,) if record.path else ()
    return Selection(record.path, True, own + tuple(records[low:high]))


def _below(records: Sequence[FileRecord], directory: str) -> tuple[int, int]:
    """The range of records below a directory: `0` is the character after `/`."""
    if not directory:
        return 0, len(records)
    low = bisect_left(records, directory + "/", key=_path)
    return low, bisect_left(records, directory + "0", lo=low, key=_path)


def _children(records: Sequence[FileRecord], directory: str) -> Iterator[FileRecord]:
    """A directory's own entries, in path order, without looking at each of the records below them."""
    index, high = _below(records, directory)
    skip = len(directory) + 1 if directory else 0
    while index < high:
        record = records[index]
        slash = record.path.find("/", skip)
        if slash < 0:
            yield record
            index += 1
        else:
            index = bisect_left(records, record.path[:slash] + "0", lo=index, hi=high, key=_path)


def _expand(records: Sequence[FileRecord], directory: str, patterns: Sequence[str]) -> Iterator[FileRecord]:
    for child in _children(records, directory):
        if not match(patterns[0], child.path.rpartition("/")[2]):
            continue
        if len(patterns) == 1:
            yield child
        elif child.kind == "dir":
            yield from _expand(records, child.path, patterns[1:])
