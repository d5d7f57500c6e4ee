"""What differs between the files of a missed step and those of the step it is compared with, as its user knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from operator import attrgetter

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.engine.inputs import Inputs, reads
from lamina.engine.world import World
from lamina.keys.compute import keyed_paths
from lamina.keys.facts import Comparison, FileChange, compare_trees, summed
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.lines import changed_lines, is_text, only_line_ends
from lamina.keys.record import CacheKey, CacheRecord, KeyPart
from lamina.keys.select import has_wildcard
from lamina.plan.steps import ContextRef, Op
from lamina.ports.sources import ContextReader

#: Contents are compared of so many files of a step, and of none that is larger.
_FILES, _BYTES = 64, 1 << 20

_path = attrgetter("path")


class Comparing:
    """A `keys.decide.Compare` for one step of this build: `op` reads `inputs`; `candidates` are the records whose keys
    it is compared with. Paths are told as they are in the build context, with the lines that changed."""

    def __init__(self, world: World, op: Op, inputs: Inputs, candidates: Sequence[CacheRecord]) -> None:
        self._world = world
        self._op = op
        self._inputs = inputs
        self._candidates = {record.key.digest: record for record in candidates}

    def __call__(self, before: CacheKey, old: KeyPart, new: KeyPart) -> Comparison:
        earlier, now = self._records(old.files), self._records(new.files)
        if earlier is None or now is None:
            return Comparison()
        # The records of several directories that one pattern matched follow each other, each list in its own order.
        changes = compare_trees(sorted(earlier, key=_path), sorted(now, key=_path))
        context, selections = self._source(new)
        if context is None:
            return summed(changes)
        wanted = {change.path for change in changes}
        places = {path: record for one in selections for path, record in keyed_paths(one) if path in wanted}
        if "" in wanted and len(selections) == 1:
            places[""] = selections[0].files[0]  # a file that is mounted, see `mount_facts`
        # A link that was followed is told by its own name.
        shown = {path: record.path for path, record in places.items()}
        for one in selections:
            if not one.is_dir:
                shown |= {path: one.base for path, _ in keyed_paths(one)} | ({"": one.base} if "" in wanted else {})
        detailed = self._detailed(changes, places, context, self._candidates.get(before.digest))
        gone = _folder(new.name.removeprefix("source "), selections)
        return summed(
            tuple(replace(change, path=shown.get(change.path) or f"{gone}{change.path}") for change in detailed)
        )

    def _records(self, digest: Digest | None) -> Sequence[FileRecord] | None:
        if digest is None:
            return None
        found = self._inputs.records.get(digest)
        return self._world.facts.get(digest) if found is None else found  # a pattern may select nothing

    def _source(self, part: KeyPart) -> tuple[ContextReader | None, tuple[Selection, ...]]:
        """Where the files behind a part are now, if that is a build context."""
        for read, facts in zip(reads(self._op), self._inputs.sources, strict=True):
            of_context = isinstance(read.source, str) and (read.origin is None or isinstance(read.origin, ContextRef))
            if of_context and part.name == f"source {facts.source}" and part.files == facts.files:
                named = read.origin.name if isinstance(read.origin, ContextRef) else ""
                return self._world.contexts[named] if named else self._world.context, facts.selections
        return None, ()

    def _detailed(
        self,
        changes: Sequence[FileChange],
        places: Mapping[str, FileRecord],
        context: ContextReader,
        record: CacheRecord | None,
    ) -> Iterator[FileChange]:
        """The changes, with lines where both contents are known; a change of line ends alone is said to be one."""
        left = _FILES
        for change in changes:
            if change.kind == "content" and left and record is not None:
                left -= 1
                contents = self._contents(change, places.get(change.path), context, record)
                if contents is not None and all(map(is_text, contents)):
                    kind = "line-ends" if only_line_ends(*contents) else change.kind
                    lines = () if kind == "line-ends" else changed_lines(*contents)
                    yield replace(change, kind=kind, lines=lines)
                    continue
            yield change

    def _contents(
        self, change: FileChange, place: FileRecord | None, context: ContextReader, record: CacheRecord
    ) -> tuple[bytes, bytes] | None:
        """What the file was, in the layer that the earlier step made, and what it is."""
        snapshot = self._world.snapshots.get(record.result) if record.result is not None else None
        if place is None or snapshot is None or place.size > _BYTES:
            return None
        destination = next((part.value for part in record.key.parts if part.name == "destination"), "")
        top = destination.strip("/")
        for path in (f"{top}/{change.path}", top):
            old = self._world.peek(snapshot.layer, path.strip("/"), _BYTES)
            if old is not None and sha256(old).hexdigest() == change.before:
                with suppress(BuildFailure), context.open(place) as file:
                    return old, file.read()
        return None


def _folder(source: str, selections: Sequence[Selection]) -> str:
    """What stands before the path of a file that is gone, as far as that can be told: of several directories that a
    pattern matched, nobody knows in which it was."""
    if len(selections) == 1 and selections[0].is_dir:
        base = selections[0].base
        return f"{base}/" if base not in ("", ".") else ""
    folder, slash, _ = source.removeprefix("./").rpartition("/")
    return folder + slash if not has_wildcard(folder) and not any(one.is_dir for one in selections) else ""
