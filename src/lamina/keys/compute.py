"""Computing a step's key from its operation, its parent and the facts of its files. Pure: facts come as arguments.

Display text, comments, line breaks, stage names and file times never enter (DESIGN: "The cache key").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from lamina.digest import ChainID, Digest, FramedHash
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.keys.record import CacheKey, KeyPart
from lamina.keys.schema import BASE, PARENT, PLATFORM, SCHEMA, TIMES
from lamina.keys.select import Selection
from lamina.oci.platform import Platform
from lamina.plan.remote import display
from lamina.plan.steps import (
    BindMount,
    CacheMount,
    CopyOp,
    GitSource,
    HttpSource,
    ImageRef,
    RunOp,
    SecretMount,
    Source,
    SshMount,
    StageRef,
    StepMount,
    TmpfsMount,
    WorkdirOp,
)


class SourceFacts(Struct, frozen=True):
    """What one source argument of a COPY selects, all matches in order, contents digested. `files` names the stored
    list of these records (their tree digest)."""

    source: str
    selections: tuple[Selection, ...]
    files: Digest


def base_key(digest: Digest | None, platform: Platform) -> CacheKey:
    """The key of FROM: the platform manifest's digest, never the tag; `scratch` has none."""
    return _key("from", (KeyPart(BASE, digest or "scratch"), KeyPart(PLATFORM, str(platform))))


def run_key(
    op: RunOp,
    parent: Digest | ChainID,
    platform: Platform,
    mounted: Sequence[SourceFacts] = (),
    hosts: Sequence[str] = (),
    *,
    epoch: bool = False,
    times: int | None = None,
) -> CacheKey:
    """The key of RUN over a parent's key or chain ID. The order of the environment counts: the step sees it.

    `mounted` are the facts of what is mounted from the context, stages and images, in order; `hosts` the names (not the
    addresses) that the build adds. `epoch`: SOURCE_DATE_EPOCH is offered to the step; which one does not count, because
    each commit has another. `times`: see `times_part`. What a Dockerfile or a build does not use adds no part.
    """
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
    parts += [KeyPart(f"mount {mount.target or mount_name(mount)}", _shape(mount)) for mount in op.mounts]
    parts += [KeyPart(f"source {facts.source}", facts.files, files=facts.files) for facts in mounted]
    if op.script is not None:
        parts.append(KeyPart("script", op.script.content))
    if op.hostname:
        parts.append(KeyPart("hostname", op.hostname))
    parts += [KeyPart(f"host {name}", name) for name in hosts]
    if epoch:
        parts.append(KeyPart("epoch", "offered"))
    return _key("run", (*parts, *times_part(times)))


def times_part(times: int | None) -> tuple[KeyPart, ...]:
    """The part of a layer whose files may be no later than `times` (seconds since 1970), as reproducible builds make
    them; none without such a limit."""
    return () if times is None else (KeyPart(TIMES, str(times)),)


def mount_name(mount: StepMount) -> str:
    """What a mount without a target is called by: a secret that is a variable alone."""
    return mount.env if isinstance(mount, SecretMount) else ""


def _shape(mount: StepMount) -> str:
    """What counts of a mount besides the content of its files: never a secret's value, nor which cache it is."""
    match mount:
        case BindMount():
            return f"bind {mount.target} {'read' if mount.read_only else 'write'}"
        case CacheMount():
            # Which mount the files of another stage belong to: their facts stand in a list of their own.
            filled = " filled" if mount.origin is not None else ""
            return f"cache {mount.target} {'read' if mount.read_only else 'write'} {_owner(mount)}{filled}"
        case TmpfsMount():
            return f"tmpfs {mount.target} {mount.size}"
        case SecretMount():
            return f"secret {mount.target} {mount.env} {mount.required} {_owner(mount)}"
        case SshMount():
            return f"ssh {mount.target} {mount.required} {_owner(mount)}"


def _owner(mount: CacheMount | SecretMount | SshMount) -> str:
    return f"{mount.mode:o} {mount.uid}:{mount.gid}"


def is_linked(op: CopyOp) -> bool:
    """Whether a copy's layer depends on nothing below it: --link, and no owner to be looked up there."""
    return op.link and op.chown.replace(":", "").strip("0123456789") == ""


def copy_key(
    op: CopyOp, parent: Digest | ChainID, sources: Sequence[SourceFacts], *, times: int | None = None
) -> CacheKey:
    """The key of COPY or ADD: what is selected, by content, and where it goes. Where it came from does not count.

    A linked copy (see `is_linked`) has no parent in its key. `times`: see `times_part`.
    """
    parts = [KeyPart(PARENT, "scratch" if is_linked(op) else parent)]
    parts += [KeyPart(f"source {facts.source}", facts.files, files=facts.files) for facts in sources]
    parts += [
        KeyPart("destination", op.dest + ("/" if op.dest_is_dir else "")),
        KeyPart("owner", op.chown),
        KeyPart("mode", op.chmod),
        KeyPart("unpack", "yes" if op.unpack else ""),
    ]
    if op.link:
        parts.append(KeyPart("link", "yes"))
    if op.parents:
        # `COPY f /d` makes a file, and with --parents a directory, of the same records.
        parts.append(KeyPart("parents", "yes"))
    parts += [
        KeyPart(f"tree {number}", "yes") for number, source in enumerate(op.sources, 1) if isinstance(source, GitSource)
    ]
    parts += [
        KeyPart(f"unpack {number}", "yes")
        for number, source in enumerate(op.sources, 1)
        if isinstance(source, HttpSource) and source.unpack
    ]
    return _key("copy", (*parts, *times_part(times)))


def workdir_key(op: WorkdirOp, parent: Digest | ChainID, *, times: int | None = None) -> CacheKey:
    """The key of WORKDIR. `times`: see `times_part`."""
    parts = (KeyPart(PARENT, parent), KeyPart("directory", op.path), KeyPart("owner", op.user))
    return _key("workdir", (*parts, *times_part(times)))


def over(key: CacheKey, parent: ChainID) -> Digest:
    """The digest of the same key over the parent's content: the second way to hit."""
    parts = tuple(KeyPart(PARENT, parent) if part.name == PARENT else part for part in key.parts)
    return key_digest(key.kind, parts)


def keyed_records(selections: Sequence[Selection], *, modes: bool = True) -> list[FileRecord]:
    """A source's records as they enter its tree digest: a directory's contents without the directory's own name, a
    file by its base name. So renaming a copied directory changes nothing, and renaming a copied file does. Without
    `modes` (the copy has a --chmod) permission bits do not count."""
    records: list[FileRecord] = []
    for selection in selections:
        if selection.is_dir and selection.base in ("", "."):
            # The root has no record of its own, and must be told from the only file that it may hold.
            records.append(FileRecord(".", "dir", 0o755 if modes else 0))
        records += [
            msgspec.structs.replace(record, path=path, mode=record.mode if modes else 0)
            for path, record in keyed_paths(selection)
        ]
    return records


def keyed_paths(selection: Selection) -> Iterator[tuple[str, FileRecord]]:
    """The records of a selection, each with the path under which it enters the key."""
    strip = len(selection.base) + 1 if selection.base not in ("", ".") else 0
    for record in selection.files:
        if selection.is_dir:
            yield (record.path[strip:] if record.path != selection.base else "."), record
        else:
            yield selection.base.rpartition("/")[2], record


def source_facts(op: CopyOp, source: Source, selections: tuple[Selection, ...]) -> tuple[SourceFacts, list[FileRecord]]:
    """The facts of one source argument, and the records to store under their tree digest.

    An octal --chmod makes the sources' modes irrelevant, and owners count only where they are kept: files of another
    stage without a --chown (context files become 0:0).
    """
    records = keyed_records(selections, modes=not op.chmod.isdigit())
    owners = isinstance(op.origin, StageRef | ImageRef) and not op.chown
    return SourceFacts(display(source), selections, tree_digest(records, owners=owners)), records


def mount_facts(
    mount: BindMount | CacheMount, selections: tuple[Selection, ...]
) -> tuple[SourceFacts, list[FileRecord]]:
    """The facts of what a RUN mounts from elsewhere. A file's name does not count: it is seen at the target."""
    records = keyed_records(selections)
    if selections and not selections[0].is_dir:
        records = [msgspec.structs.replace(record, path="") for record in records]
    owners = isinstance(mount.origin, StageRef | ImageRef)
    return SourceFacts(mount.source, selections, tree_digest(records, owners=owners)), records


def _key(kind: str, parts: tuple[KeyPart, ...]) -> CacheKey:
    return CacheKey(SCHEMA, kind, parts, key_digest(kind, parts))


def key_digest(kind: str, parts: tuple[KeyPart, ...]) -> Digest:
    """The digest of a key: the framed hash over the schema's number, the kind and the parts in order."""
    frames = FramedHash()
    frames.add("schema", str(SCHEMA))
    frames.add("kind", kind)
    for part in parts:
        # A source's text (`COPY a b /x`) names the part for people; the file tree alone counts.
        frames.add("source" if part.files else part.name, part.value)
    return frames.digest()
