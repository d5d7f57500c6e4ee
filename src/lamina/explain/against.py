"""Two builds side by side, by their stories alone: the first step whose own inputs differ, and the others. Pure.

So a build of a CI run and one of a laptop can be compared, with no cache record or layer of either at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from operator import attrgetter
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lamina.digest import Digest
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.keys.decide import Compare, MissCause, compare
from lamina.keys.facts import Comparison, FileChange, compare_trees, summed
from lamina.keys.filetree import FileRecord
from lamina.keys.record import CacheKey, KeyPart
from lamina.keys.schema import BASE, PARENT

#: A stored list of file records by its tree digest, None if it is not kept.
Lists = Callable[[Digest], Sequence[FileRecord] | None]
#: changed: its own inputs differ · inserted, removed: one of the builds has no such step · result: the same inputs on
#: the same files below made other files, so the step is not repeatable.
Sort = Literal["changed", "inserted", "removed", "result"]

_path = attrgetter("path")


class Difference(Struct, frozen=True):
    """One difference. `before` and `after` are the steps of the two builds, None on the side that has none (and for a
    stage's FROM on both); `causes` what differs, for sort `changed`."""

    sort: Sort
    stage: str
    before: ToldStep | None = None
    after: ToldStep | None = None
    causes: tuple[MissCause, ...] = ()


class Against(Struct, frozen=True):
    """What differs, in the order of the second build. `same_key`: both have the same final key, None if one has none.
    `compared` counts the steps that were set side by side; `schemas` are the numbers of the key's recipe, if those
    differ and no key can be compared."""

    differences: tuple[Difference, ...]
    compared: int
    same_key: bool | None = None
    schemas: tuple[int, int] | None = None

    @property
    def inputs(self) -> tuple[Difference, ...]:
        """What goes in differently."""
        return tuple(one for one in self.differences if one.sort != "result")

    @property
    def unrepeatable(self) -> tuple[Difference, ...]:
        """Steps that made other files of the same."""
        return tuple(one for one in self.differences if one.sort == "result")


def set_against(before: Story, after: Story, lists: Lists, *, whole: tuple[bool, bool] = (True, True)) -> Against:
    """Compare two builds. Stages are matched by label, steps by their texts as `diff` matches lines.

    `whole` says of either whether it came to its end: what a failed one did not come to is no difference.
    """
    same_key = None if before.key is None or after.key is None else before.key == after.key
    schemas = tuple(next(iter(_schemas(story)), 0) for story in (before, after))
    if schemas[0] != schemas[1] and all(schemas):
        return Against((), 0, same_key, (schemas[0], schemas[1]))
    old = {stage.label: stage for stage in before.stages}
    new = {stage.label: stage for stage in after.stages}
    comparing = Listed(lists)
    found: list[Difference] = []
    compared = 0
    same: set[str] = set()  # stages of which everything is the same, so that a new result is a step's own doing
    for label, stage in new.items():
        if label not in old:
            found += [Difference("inserted", label, None, step) for step in _layers(stage) if whole[0]]
            continue
        differences, count = _stages(old[label], stage, comparing, same, whole)
        found += differences
        compared += count
        if not differences:
            same.add(label)
    found += [
        Difference("removed", label, step)
        for label, stage in old.items()
        if label not in new
        for step in _layers(stage)
        if whole[1]
    ]
    return Against(tuple(found), compared, same_key)


def lists_of(story: Story) -> tuple[Digest, ...]:
    """The lists of files that a story's keys name, each once."""
    keys = [step.key for step in story.steps() if step.key is not None]
    return tuple(dict.fromkeys(part.files for key in keys for part in key.parts if part.files is not None))


class Listed:
    """A `keys.decide.Compare` that knows the stored lists of both sides."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists

    def __call__(self, before: CacheKey, old: KeyPart, new: KeyPart) -> Comparison:
        lists = [None if part.files is None else self._lists(part.files) for part in (old, new)]
        if lists[0] is None or lists[1] is None:
            return Comparison()
        left, right = (sorted(each, key=_path) for each in lists if each is not None)
        changes = compare_trees(left, right) or compare_trees(left, right, owners=True)
        folder = _folder(new, right, any(part.name == "parents" for part in before.parts))
        return summed([_below(folder, change) for change in changes])


def _stages(
    before: ToldStage, after: ToldStage, changes: Compare, same: set[str], whole: tuple[bool, bool]
) -> tuple[list[Difference], int]:
    found: list[Difference] = []
    pure = before.digest == after.digest and (after.digest is not None or after.base in same or after.base == "scratch")
    if before.digest != after.digest or before.platform != after.platform:
        found.append(Difference("changed", after.label, causes=tuple(_base_causes(before, after))))
    compared = 0
    pairs = paired(_layers(before), _layers(after))
    for side in (0, 1):
        while pairs and pairs[-1][side] is None and not whole[side]:
            pairs.pop()
    for old, new in pairs:
        if old is None or new is None:
            found.append(Difference("inserted" if old is None else "removed", after.label, old, new))
            pure = False
            continue
        compared += 1
        causes = _own(old, new, changes)
        if causes:
            found.append(Difference("changed", after.label, old, new, causes))
        elif pure and old.files and new.files and old.files != new.files:
            found.append(Difference("result", after.label, old, new))
        else:
            continue
        pure = False
    return found, compared


def _base_causes(before: ToldStage, after: ToldStage) -> Iterator[MissCause]:
    if before.digest != after.digest:
        yield MissCause("changed", BASE, before.digest or before.base, after.digest or after.base, span=after.span)
    if before.platform != after.platform:
        yield MissCause("changed", "platform", before.platform, after.platform, span=after.span)


def _own(old: ToldStep, new: ToldStep, changes: Compare) -> tuple[MissCause, ...]:
    if old.key is None or new.key is None:
        return ()
    if old.key.kind != new.key.kind:
        return (MissCause("changed", "command", old.text, new.text),)
    return tuple(cause for cause in compare(old.key, new.key, changes) if cause.part not in (PARENT, "platform"))


def paired(before: Sequence[ToldStep], after: Sequence[ToldStep]) -> list[tuple[ToldStep | None, ToldStep | None]]:
    """Steps of two versions of a stage side by side, in the order of the second; None where one has no such step.

    Texts are matched as `diff` does. Between two matches, what has the same keyword is one step that was edited, in
    order; anything else was inserted or removed.
    """
    matcher = SequenceMatcher(None, [step.text for step in before], [step.text for step in after], autojunk=False)
    pairs: list[tuple[ToldStep | None, ToldStep | None]] = []
    for tag, left, left_end, right, right_end in matcher.get_opcodes():
        if tag == "equal":
            pairs += zip(before[left:left_end], after[right:right_end], strict=True)
        else:
            pairs += _edited(list(before[left:left_end]), after[right:right_end])
    return pairs


def _edited(before: list[ToldStep], after: Sequence[ToldStep]) -> Iterator[tuple[ToldStep | None, ToldStep | None]]:
    position = 0
    for new in after:
        place = next((n for n in range(position, len(before)) if _keyword(before[n]) == _keyword(new)), None)
        if place is None:
            yield None, new
            continue
        for gone in before[position:place]:
            yield gone, None
        yield before[place], new
        position = place + 1
    for gone in before[position:]:
        yield gone, None


def _keyword(step: ToldStep) -> str:
    return step.text.partition(" ")[0].upper()


def _layers(stage: ToldStage) -> list[ToldStep]:
    return [step for step in stage.steps if step.outcome != "metadata"]


def _schemas(story: Story) -> Iterator[int]:
    return (step.key.schema for step in story.steps() if step.key is not None)


def _folder(part: KeyPart, records: Sequence[FileRecord], parents: bool) -> str:
    """The directory that a list's paths count from, as its user knows it; empty for the root or if that is unclear."""
    source = part.name.partition(" ")[2].strip("/")
    if parents or source in ("", ".") or any(letter in source for letter in "*?[<:"):
        return ""
    return source.removeprefix("./") if any(record.path == "." for record in records) else ""


def _below(folder: str, change: FileChange) -> FileChange:
    return replace(change, path=f"{folder}/{change.path}") if folder and change.path != "." else change
