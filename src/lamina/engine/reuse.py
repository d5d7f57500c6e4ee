"""Files that an earlier layer of the same step holds already: linked into the new layer rather than written again."""

from __future__ import annotations

from lamina.engine.world import World
from lamina.keys.filetree import FileRecord
from lamina.keys.record import CacheRecord
from lamina.plan.steps import CopyOp
from lamina.ports.layers import Earlier


def earlier_layer(op: CopyOp, nearest: CacheRecord | None, world: World, *, times: bool) -> Earlier | None:
    """The layer that a COPY made the last time, with the content of each file in it.

    The contents come from the file facts of that record, never from times or sizes. An ADD gives nothing: what an
    archive was unpacked to stands in no key. A COPY --from shares only for the sake of `times` (see `ports.Earlier`).
    """
    if nearest is None or nearest.result is None or op.unpack or (op.origin is not None and not times):
        return None
    if not all(isinstance(source, str) for source in op.sources):
        return None
    snapshot = world.snapshots.get(nearest.result)
    contents = copied_contents(nearest, world)
    return Earlier(snapshot.layer, contents, times) if snapshot is not None and contents is not None else None


def copied_contents(copied: CacheRecord, world: World) -> dict[str, str] | None:
    """The hex SHA-256 of files in the layer of a COPY, by their path in the root, as far as its facts tell.

    A path that is not in the layer (because a link led elsewhere) may be among them. None if archives were unpacked, if
    facts are gone, or for another step.
    """
    parts = {part.name: part for part in copied.key.parts}
    if copied.key.kind != "copy" or any(part.value for name, part in parts.items() if name.startswith("unpack")):
        return None
    top = parts["destination"].value.strip("/")
    prefix = f"{top}/" if top else ""
    contents: dict[str, str] = {}
    records: list[FileRecord] = []
    for part in copied.key.parts:
        if part.files is not None:
            found = world.facts.get(part.files)
            if found is None:
                return None  # a later source may have written over an earlier one: half of them would be wrong
            records += found
    for record in records:
        if record.kind == "file" and not record.xattrs:
            contents[prefix + record.path] = record.content
        else:
            contents.pop(prefix + record.path, None)
    if len(records) == 1 and contents:
        contents[top] = records[0].content  # where a single file lands if the destination is no directory
    return contents
