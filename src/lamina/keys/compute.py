"""Computing a step's key from its operation, its parent and the facts of its files. Pure: facts come as arguments.

Display text, comments, line breaks, stage names and file times never enter (DESIGN: "The cache key").
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from lamina.digest import ChainID, Digest, FramedHash
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.keys.record import CacheKey, KeyPart
from lamina.keys.schema import BASE, PARENT, PLATFORM, SCHEMA
from lamina.keys.select import Selection
from lamina.oci.platform import Platform
from lamina.plan.steps import CopyOp, RunOp, WorkdirOp


class SourceFacts(Struct, frozen=True):
    """What one source argument of a COPY selects, all matches in order, contents digested. `files` names the stored
    list of these records (their tree digest)."""

    source: str
    selections: tuple[Selection, ...]
    files: Digest


def base_key(digest: Digest | None, platform: Platform) -> CacheKey:
    """The key of FROM: the platform manifest's digest, never the tag; `scratch` has none."""
    return _key("from", (KeyPart(BASE, digest or "scratch"), KeyPart(PLATFORM, str(platform))))


def run_key(op: RunOp, parent: Digest | ChainID, platform: Platform) -> CacheKey:
    """The key of RUN over a parent's key or chain ID. The order of the environment counts: the step sees it."""
    parts = [
        KeyPart(PARENT, parent),
        KeyPart(PLATFORM, str(platform)),
        KeyPart("command", msgspec.json.encode(op.argv).decode()),
    ]
    parts += [KeyPart(f"env {name}", value) for name, value in op.env]
    parts += [
        KeyPart("user", op.user),
        KeyPart("directory", op.cwd),
        KeyPart("network", op.network),
        KeyPart("security", op.security),
    ]
    return _key("run", tuple(parts))


def copy_key(op: CopyOp, parent: Digest | ChainID, sources: Sequence[SourceFacts]) -> CacheKey:
    """The key of COPY or ADD: what is selected, by content, and where it goes. Where it came from does not count."""
    parts = [KeyPart(PARENT, parent)]
    parts += [KeyPart(f"source {facts.source}", facts.files, files=facts.files) for facts in sources]
    parts += [
        KeyPart("destination", op.dest + ("/" if op.dest_is_dir else "")),
        KeyPart("owner", op.chown),
        KeyPart("mode", "" if op.chmod is None else f"{op.chmod:o}"),
        KeyPart("unpack", "yes" if op.unpack else ""),
    ]
    return _key("copy", tuple(parts))


def workdir_key(op: WorkdirOp, parent: Digest | ChainID) -> CacheKey:
    """The key of WORKDIR."""
    return _key("workdir", (KeyPart(PARENT, parent), KeyPart("directory", op.path), KeyPart("owner", op.user)))


def over(key: CacheKey, parent: ChainID) -> Digest:
    """The digest of the same key over the parent's content: the second way to hit."""
    parts = tuple(KeyPart(PARENT, parent) if part.name == PARENT else part for part in key.parts)
    return _digest(key.kind, parts)


def keyed_records(selections: Sequence[Selection], *, modes: bool = True) -> list[FileRecord]:
    """A source's records as they enter its tree digest: a directory's contents without the directory's own name, a
    file by its base name. So renaming a copied directory changes nothing, and renaming a copied file does. Without
    `modes` (the copy has a --chmod) permission bits do not count."""
    records: list[FileRecord] = []
    for selection in selections:
        strip = len(selection.base) + 1 if selection.base not in ("", ".") else 0
        for record in selection.files:
            if selection.is_dir:
                path = record.path[strip:] if record.path != selection.base else "."
            else:
                path = selection.base.rpartition("/")[2]
            records.append(msgspec.structs.replace(record, path=path, mode=record.mode if modes else 0))
    return records


def source_facts(op: CopyOp, source: str, selections: tuple[Selection, ...]) -> tuple[SourceFacts, list[FileRecord]]:
    """The facts of one source argument, and the records to store under their tree digest.

    A --chmod makes the sources' modes irrelevant, and owners count only where they are kept: files of another stage
    without a --chown (context files become 0:0).
    """
    records = keyed_records(selections, modes=op.chmod is None)
    owners = op.source is not None and not op.chown
    return SourceFacts(source, selections, tree_digest(records, owners=owners)), records


def _key(kind: str, parts: tuple[KeyPart, ...]) -> CacheKey:
    return CacheKey(SCHEMA, kind, parts, _digest(kind, parts))


def _digest(kind: str, parts: tuple[KeyPart, ...]) -> Digest:
    frames = FramedHash()
    frames.add("schema", str(SCHEMA))
    frames.add("kind", kind)
    for part in parts:
        # A source's text (`COPY a b /x`) names the part for people; the file tree alone counts.
        frames.add("source" if part.files else part.name, part.value)
    return frames.digest()
