"""Decisions: hit or miss, and why. The branch that decides records the reason; nothing else explains a miss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from lamina.diagnostics import Span
from lamina.digest import ChainID
from lamina.keys.facts import Comparison, FileChange, Sole
from lamina.keys.looks import Look
from lamina.keys.record import CacheKey, CacheRecord, KeyPart
from lamina.keys.schema import PARENT

How = Literal["definition", "content", "observation"]
CauseKind = Literal["first_build", "added", "removed", "changed", "order", "parent", "forced", "evicted"]


class MissCause(Struct, frozen=True):
    """One reason of a miss. `part` is the key part, `before` and `after` its values.

    `files` is what changed in the files behind the part, of `total` changes those to tell; `sole` as in `Comparison`.
    For kind `parent`, `origin` is the address of the step that made this one rebuild. `look` is what such a
    step saw that is otherwise now, if it was observed. For part `parent` otherwise,
    `before` and `after` are what stood below then and stands below now; part `base` has the digests of the images.
    """

    kind: CauseKind
    part: str = ""
    before: str | None = None
    after: str | None = None
    files: tuple[FileChange, ...] = ()
    span: Span | None = None
    origin: str = ""
    total: int = 0
    sole: Sole = ""
    look: Look | None = None


class Hit(Struct, frozen=True, tag="hit"):
    """The step's result exists. `how`: by the definition key, by the parent's content, or because the step looked at
    nothing that differs: it had `read` so many of so many copied files. `origin`: it was in the store, or is in
    the shared cache."""

    record: CacheRecord
    how: How
    read: tuple[int, int] = (0, 0)
    origin: Literal["store", "shared"] = "store"


class Miss(Struct, frozen=True, tag="miss"):
    """The step must run. `causes` is never empty, the first is the one to tell; `nearest` was compared with."""

    causes: tuple[MissCause, ...]
    nearest: CacheRecord | None = None


class Unkeyed(Struct, frozen=True, tag="unkeyed"):
    """A forecast cannot know the step's key yet: it depends on the files of what `behind` names (stages that would be
    rebuilt, addresses on the web). It is cached if those come out as they did for `nearest`."""

    behind: tuple[str, ...]
    nearest: CacheRecord | None = None


#: Compares the files behind two parts of the same name, the first being of the given key.
Compare = Callable[[CacheKey, KeyPart, KeyPart], Comparison]

Decision = Hit | Miss
#: What a forecast can say of a step.
Foreseen = Hit | Miss | Unkeyed


def explain_miss(
    key: CacheKey,
    candidates: Sequence[CacheRecord],
    changes: Compare,
    *,
    chain: ChainID | None = None,
    parent_missed: str = "",
) -> Miss:
    """Compare a key that no record has with the records of the same step and say what differs.

    `chain` is the stack below the step, `parent_missed` the
    address of the step above that had to run, if one had. The nearest candidate has the most equal parts, then
    comes first.
    """
    same_kind = [record for record in candidates if record.key.kind == key.kind]
    if not same_kind:
        return Miss((MissCause("first_build"),))
    nearest = max(same_kind, key=lambda record: _equal_parts(record.key, key))
    causes = compare(nearest.key, key, changes)
    own = tuple(cause for cause in causes if cause.part != PARENT)
    if parent_missed:
        return Miss((*own, MissCause("parent", PARENT, origin=parent_missed)), nearest)
    if own and nearest.parent == chain:
        return Miss(own, nearest)  # whatever was done below came to the same files
    if not causes and nearest.parent != chain:
        # The same instructions, but a step below that is not repeatable came out differently in another build.
        return Miss((MissCause("changed", PARENT, nearest.parent, chain),), nearest)
    return Miss(causes or (MissCause("evicted"),), nearest)


def compare(before: CacheKey, after: CacheKey, changes: Compare) -> tuple[MissCause, ...]:
    """What differs between two keys, part by part in key order; file lists are compared file by file."""
    old, new = _named(before), _named(after)
    names = dict.fromkeys((*new, *old))
    causes = [_difference(before, old.get(name), new.get(name), changes) for name in names]
    found = tuple(cause for cause in causes if cause is not None)
    if not found and before.digest != after.digest:
        return (MissCause("order", before=" ".join(old), after=" ".join(new)),)
    return found


def _difference(before: CacheKey, old: KeyPart | None, new: KeyPart | None, changes: Compare) -> MissCause | None:
    if old is None:
        return MissCause("added", new.name, after=new.value, span=new.span) if new else None
    if new is None:
        return MissCause("removed", old.name, before=old.value)
    if old.value == new.value:
        return None
    found = changes(before, old, new) if old.files and new.files else Comparison()
    return MissCause(
        "changed",
        new.name,
        old.value,
        new.value,
        found.changes,
        new.span,
        total=found.total,
        sole=found.sole,
    )


def _named(key: CacheKey) -> dict[str, KeyPart]:
    """Parts by a name that is unique: sources are told apart by their place, not by their text."""
    named: dict[str, KeyPart] = {}
    for part in key.parts:
        name = part.name
        if part.files:
            name = f"source {sum(item.startswith('source ') for item in named) + 1}"
        named[name] = part
    return named


def _equal_parts(one: CacheKey, other: CacheKey) -> int:
    values = {(part.name, part.value) for part in one.parts}
    return sum((part.name, part.value) in values for part in other.parts)
