"""What each source of a Dockerfile selected at each commit, as numbers: equal numbers, equal files.

A number stands for the tree digest that enters the key (`keys.compute.source_facts`). Where a source names a file or a
directory outright, which nearly all do, a sum over its records follows the changes instead of a digest of all its
files; else the selection is made anew when a change can concern it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator, Sequence
from hashlib import blake2b

from msgspec import Struct

from lamina.advise.timeline import Event, Timeline
from lamina.dockerfile.globs import match
from lamina.keys.compute import mount_facts, source_facts
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.select import clean, has_wildcard, select
from lamina.plan.steps import BindMount, CacheMount, CopyOp


class Course(Struct, frozen=True):
    """The way of one source: its number at the start and after each commit; the paths of files that each commit
    changed in it, by the commit's place (from 1); `missing` the places where it names nothing, so that no build would
    succeed."""

    numbers: tuple[int, ...]
    changed: dict[int, tuple[str, ...]]
    missing: frozenset[int]


class Numbers:
    """Gives each value its number."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}

    def of(self, value: Hashable) -> int:
        return self._known.setdefault(value, len(self._known))


class Selections:
    """All sources of all Dockerfiles over one timeline, each followed once."""

    def __init__(self, timeline: Timeline, numbers: Numbers) -> None:
        self.timeline = timeline
        self.numbers = numbers
        self._known: dict[Hashable, Course] = {}

    def course(self, by: CopyOp | BindMount | CacheMount, source: str) -> Course:
        """The way of a source of the build context. Raises BuildFailure for a pattern that is none."""
        question = _question(by, source)
        found = self._known.get(question)
        if found is None:
            found = self._known[question] = self._follow(by, source, question)
        return found

    def _follow(self, by: CopyOp | BindMount | CacheMount, source: str, question: Hashable) -> Course:
        parts = clean(source)
        plain = not isinstance(by, CopyOp) or not (by.parents or by.exclude)
        place = "/".join(parts)
        if plain and not has_wildcard(source) and not _led_by(place, self.timeline.links):
            return self._named(place, question, modes=not isinstance(by, CopyOp) or not by.chmod.isdigit())
        return self._selected(by, source, parts)

    def _named(self, place: str, question: Hashable, *, modes: bool) -> Course:
        """A file or directory that is named, with no link on the way."""
        inside = f"{place}/" if place else ""
        total, count = 0, 0
        for path, record in self.timeline.start.items():
            if not place or path == place or path.startswith(inside):
                total, count = total + _weight(record, modes), count + 1
        numbers = [self._number(question, place, total, count)]
        changed: dict[int, tuple[str, ...]] = {}
        for at, events in enumerate(self.timeline.events, 1):
            files = []
            for event in events:
                if not place or event.path == place or event.path.startswith(inside):
                    before, after = event.before, event.after
                    total += (_weight(after, modes) if after else 0) - (_weight(before, modes) if before else 0)
                    count += (after is not None) - (before is not None)
                    if _is_file(event):
                        files.append(event.path)
            numbers.append(self._number(question, place, total, count))
            if files:
                changed[at] = tuple(files)
        nothing = self.numbers.of(("nothing",))
        return Course(tuple(numbers), changed, frozenset(at for at, one in enumerate(numbers) if one == nothing))

    def _number(self, question: Hashable, place: str, total: int, count: int) -> int:
        return self.numbers.of((question, total, count) if count or not place else ("nothing",))

    def _selected(self, by: CopyOp | BindMount | CacheMount, source: str, parts: Sequence[str]) -> Course:
        """Any other source: selected as a build does, whenever something changes that it may be about."""
        concerns = _Concerns(parts, isinstance(by, CopyOp) and by.parents, self.timeline.links)
        tree = dict(self.timeline.start)
        paths = sorted(tree)
        numbers: list[int] = []
        changed: dict[int, tuple[str, ...]] = {}
        known: dict[str, FileRecord] = {}
        for at, events in enumerate(((), *self.timeline.events)):
            _apply(tree, paths, events)
            if at and not any(concerns(event.path) for event in events):
                numbers.append(numbers[-1])
                continue
            found = _selection(by, source, [tree[path] for path in paths])
            numbers.append(self.numbers.of(("nothing",) if found is None else _digest(by, source, found)))
            now = {record.path: record for one in found or () for record in one.files}
            files = tuple(path for path in sorted({*known, *now}) if known.get(path) != now.get(path))
            if at and files:
                changed[at] = tuple(path for path in files if (now.get(path) or known[path]).kind != "dir")
            known = now
        nothing = self.numbers.of(("nothing",))
        return Course(tuple(numbers), changed, frozenset(at for at, one in enumerate(numbers) if one == nothing))


class _Concerns:
    """Whether what a source selects may be otherwise because a path is."""

    def __init__(self, parts: Sequence[str], parents: bool, links: frozenset[str]) -> None:
        self._parts = parts
        fixed = next((at for at, part in enumerate(parts) if has_wildcard(part) or parents), len(parts))
        self._fixed = "/".join(parts[:fixed])
        self._wild = list(parts[fixed:]) if not parents else []
        self._skip = fixed
        # A link leads anywhere, so then every change counts.
        self._always = any(self._about(link) or _led_by(self._fixed, frozenset((link,))) for link in links)

    def __call__(self, path: str) -> bool:
        return self._always or self._about(path)

    def _about(self, path: str) -> bool:
        if self._fixed and path != self._fixed and not path.startswith(self._fixed + "/"):
            return False
        return all(match(wild, part) for wild, part in zip(self._wild, path.split("/")[self._skip :], strict=False))


def _selection(
    by: CopyOp | BindMount | CacheMount, source: str, records: Sequence[FileRecord]
) -> tuple[Selection, ...] | None:
    """None for a source that names nothing, at which a build fails."""
    parents, exclude = (by.parents, by.exclude) if isinstance(by, CopyOp) else (False, ())
    found = select(records, source, parents=parents, exclude=exclude)
    if not found and not has_wildcard(source) and not (exclude and select(records, source)):
        return None
    return found


def _digest(by: CopyOp | BindMount | CacheMount, source: str, found: tuple[Selection, ...]) -> Hashable:
    facts, _ = source_facts(by, source, found) if isinstance(by, CopyOp) else mount_facts(by, found)
    return facts.files


def _question(by: CopyOp | BindMount | CacheMount, source: str) -> Hashable:
    place = source if has_wildcard(source) or "/./" in source else "/".join(clean(source))
    if isinstance(by, CopyOp):
        return ("copy", place, by.parents, by.exclude, by.chmod.isdigit())
    return ("mount", place)


def _led_by(place: str, links: frozenset[str]) -> bool:
    """Whether a place is a link, or lies behind one."""
    return bool(links) and any(above in links for above in _upwards(place))


def _upwards(place: str) -> Iterator[str]:
    while place:
        yield place
        place = place.rpartition("/")[0]


def _weight(record: FileRecord, modes: bool) -> int:
    # A sum of what `hash` gives would not do: for tuples that differ in their last item alone it differs alike.
    value = record.content if record.kind == "file" else record.target
    text = f"{record.kind} {record.mode if modes else 0} {len(record.path)} {record.path}{value}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest())


def _is_file(event: Event) -> bool:
    record = event.after or event.before
    return record is not None and record.kind != "dir"


def _apply(tree: dict[str, FileRecord], paths: list[str], events: Sequence[Event]) -> None:
    """As `timeline.apply`, with the sorted paths beside."""
    for event in events:
        if event.after is None:
            del tree[event.path]
            del paths[bisect_left(paths, event.path)]
            continue
        if event.path not in tree:
            insort(paths, event.path)
        tree[event.path] = event.after
