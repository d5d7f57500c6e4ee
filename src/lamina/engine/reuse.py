"""Files that an earlier layer of the same step holds already: linked into the new layer rather than written again."""

from __future__ import annotations

from lamina.engine.world import World
from lamina.keys.record import CacheRecord
from lamina.plan.steps import CopyOp
from lamina.ports import Earlier


def earlier_layer(op: CopyOp, nearest: CacheRecord | None, world: World) -> Earlier | None:
    """The layer that a COPY from the build context made the last time, with the content of each file in it.

    The contents come from the file facts of that record, never from times or sizes. An ADD gives nothing: what an
    archive was unpacked to stands in no key.
    """
    if nearest is None or nearest.result is None or op.origin is not None or op.unpack:
        return None
    if not all(isinstance(source, str) for source in op.sources):
        return None
    parts = {part.name: part for part in nearest.key.parts}
    if nearest.key.kind != "copy" or parts["unpack"].value:
        return None
    snapshot = world.snapshots.get(nearest.result)
    if snapshot is None:
        return None
    top = parts["destination"].value.strip("/")
    prefix = f"{top}/" if top else ""
    contents: dict[str, str] = {}
    for part in nearest.key.parts:
        for record in (world.facts.get(part.files) if part.files else None) or ():
            if record.kind == "file" and not record.xattrs:
                contents[prefix + record.path] = record.content
            else:
                contents.pop(prefix + record.path, None)
    return Earlier(snapshot.layer, contents)
