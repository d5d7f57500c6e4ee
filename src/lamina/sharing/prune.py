"""Clearing away in a shared cache: documents that are old or over a budget, then blobs that none names any more.

Others read and write meanwhile, and nothing is locked. What is younger than `GRACE` is never touched; before blobs are
removed it is looked again who names them; a writer looks again for the blobs that it found and did not send. What slips
through all that is an entry without its layer: readers build that step instead, and the next clearing removes it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from lamina.digest import Digest
from lamina.registry.cachestore import CacheStore
from lamina.sharing.places import Limits
from lamina.sharing.survey import MARKER, Known, Survey, survey

#: Seconds for which nothing is removed after it was written or used.
GRACE = 3600.0
#: Seconds between two clearings that builds do by themselves.
PAUSE = 72_000.0
#: Blobs between two looks at who names them.
_BATCH = 500


class Pruned(Struct, frozen=True):
    """What went: documents, the steps that no document has any more, blobs, and all their bytes. `left` are bytes of
    what documents and their blobs take now. With `collects` the blobs stay until the place collects its garbage;
    `foreign` documents are of another version of lamina, and all blobs stay for them."""

    documents: int
    steps: int
    blobs: int
    bytes: int
    left: int
    collects: bool
    foreign: int


class Doomed(Struct, frozen=True):
    """What is to be removed."""

    documents: tuple[Known, ...]
    blobs: tuple[Digest, ...]


def choose(found: Survey, limits: Limits, now: float, grace: float = GRACE) -> Doomed:
    """What is to go: damaged documents and those without any layer, those that are too old, then the oldest until the
    rest fits; with the last document of a step what explains it; blobs that no document that stays names. `now` is the
    time by the place's clock, `grace` in seconds."""
    ages = _ages(found.documents.values(), now)
    young = now - grace
    keys = [known for known in found.documents.values() if not known.is_note]
    notes = [known for known in found.documents.values() if known.is_note]
    gone = {
        known.name
        for known in keys
        if ages[known.name] < young
        and (_is_useless(known, found) or (limits.max_age is not None and ages[known.name] < now - limits.max_age))
    }
    if limits.max_size is not None:
        _shrink(found, limits.max_size, [known for known in keys if ages[known.name] < young], ages, gone)
    gone |= {one.name for one in notes if ages[one.name] < young and not one.foreign and not _explains(one, keys, gone)}
    kept = [known for name, known in found.documents.items() if name not in gone]
    named = {digest for known in kept for digest in known.blobs}
    free = not any(known.foreign for known in kept)
    blobs = tuple(digest for digest, blob in found.blobs.items() if free and digest not in named and blob.used < young)
    return Doomed(tuple(found.documents[name] for name in sorted(gone, key=lambda name: ages[name])), blobs)


def prune(
    store: CacheStore, limits: Limits, *, dry_run: bool = False, grace: float = GRACE, now: float | None = None
) -> Pruned:
    """Clear away. `now` is the time by the place's clock, which is asked by default. Raises BuildFailure `registry-…`;
    what was removed until then stays so."""
    if now is None:
        now = time.time() if dry_run else store.clock()
    if not dry_run:
        store.write(MARKER, str(int(now)).encode(), ())  # first, so that others do not begin, too
    found = survey(store)
    doomed = choose(found, limits, now, grace)
    if not dry_run:
        _remove(store, found, doomed, now - grace)
    names = {known.name for known in doomed.documents}
    kept = [known for name, known in found.documents.items() if name not in names]
    before, left = found.bytes_of(found.documents.values()), found.bytes_of(kept)
    loose = set(doomed.blobs) - {digest for known in doomed.documents for digest in known.blobs}
    return Pruned(
        documents=len(doomed.documents),
        steps=len(_steps(doomed.documents) - _steps(kept)),
        blobs=len(doomed.blobs),
        bytes=before - left + sum(found.blobs[digest].size for digest in loose),
        left=left,
        collects=found.collects,
        foreign=sum(known.foreign for known in kept),
    )


def is_due(store: CacheStore) -> bool:
    """Whether nobody cleared away in this place for most of a day."""
    marked = store.read(MARKER) or b""
    now = time.time()
    return not (marked.isdigit() and len(marked) < 16 and now - PAUSE < int(marked) < now + GRACE)


def _remove(store: CacheStore, found: Survey, doomed: Doomed, young: float) -> None:
    present = store.names()
    store.remove([known.held for known in doomed.documents if present.get(known.name) in (known.held.version, "")])
    for start in range(0, len(doomed.blobs), _BATCH):
        found = survey(store, found)
        if any(known.foreign for known in found.documents.values()):
            return
        named = {digest for known in found.documents.values() for digest in known.blobs}
        store.remove_blobs([one for one in doomed.blobs[start : start + _BATCH] if one not in named], young)


def _ages(documents: Iterable[Known], now: float) -> dict[str, float]:
    """When each document was last used. What lies in the future was written by a clock that is wrong: it is as if of
    now. A step is looked up by its definition first, so its content document is as young as those that lead to it; and
    where documents are the same manifest, which can only go as a whole, it is as young as the youngest."""
    ages: dict[str, float] = {}
    versions: dict[str, float] = {}
    every = tuple(documents)
    for known in every:
        used = min(now, known.used)
        contents = () if known.is_note else (step.content for step in known.steps)
        for name in {known.name, *contents}:
            ages[name] = max(ages.get(name, 0.0), used)
    for known in every:
        version = known.held.version
        versions[version] = max(versions.get(version, 0.0), ages[known.name])
    return {known.name: versions[known.held.version] for known in every}


def _is_useless(known: Known, found: Survey) -> bool:
    """Whether nobody can use a document: damaged, or all its layers are gone."""
    if known.foreign:
        return False
    return not known.steps or (not found.collects and all(step.layer not in found.blobs for step in known.steps))


def _explains(note: Known, keys: Sequence[Known], gone: set[str]) -> bool:
    names = {name for step in note.steps for name in (step.name, step.content)}
    return any(known.name in names and known.name not in gone for known in keys)


def _shrink(found: Survey, most: int, old: Sequence[Known], ages: Mapping[str, float], gone: set[str]) -> None:
    """Add to `gone` those of `old` that have to go, the oldest first; documents of one manifest go together."""
    kept = [known for name, known in found.documents.items() if name not in gone]
    sizes = {digest: found.size_of(digest, said) for known in kept for digest, said in known.blobs.items()}
    uses = Counter(digest for known in kept for digest in known.blobs)
    notes: dict[str, list[Known]] = {}
    for note in (known for known in kept if known.is_note):
        for name in {name for step in note.steps for name in (step.name, step.content)} - gone:
            if name in found.documents:
                notes.setdefault(name, []).append(note)
    waiting = Counter(note.name for those in notes.values() for note in those)

    def freed(known: Known) -> int:
        """Bytes that are free when a document is gone, with what is only there for it."""
        uses.subtract(list(known.blobs))
        count = known.held.size + sum(sizes[digest] for digest in known.blobs if not uses[digest])
        for note in notes.get(known.name, ()):
            waiting[note.name] -= 1
            count += freed(note) if not waiting[note.name] else 0
        return count

    total, last = found.bytes_of(kept), ""
    for known in sorted(old, key=lambda one: (ages[one.name], one.held.version, one.name)):
        if known.name not in gone and (total > most or known.held.version == last):
            gone.add(known.name)
            last = known.held.version
            total -= freed(known)


def _steps(documents: Iterable[Known]) -> set[tuple[str, str]]:
    return {(step.name, step.result) for known in documents if not known.is_note for step in known.steps}
