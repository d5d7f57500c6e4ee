"""What a step reads from outside its own root, and the facts of it that its key needs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.digest import ChainID, Digest, FramedHash
from lamina.keys.compute import SourceFacts, mount_facts, source_facts
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.schema import SCHEMA
from lamina.keys.select import has_wildcard, near, select
from lamina.plan.steps import BindMount, CacheMount, CopyOp, HttpSource, Inline, Op, Origin, RunOp, Source
from lamina.ports.layers import LayerIO
from lamina.ports.sources import ContextReader, Fetched
from lamina.ports.storing import FactStore

_FILE_MODE = 0o644


class Read(Struct, frozen=True):
    """One source of a COPY or ADD, or what a RUN mounts from elsewhere. `origin` is None for the build context."""

    by: CopyOp | BindMount | CacheMount
    source: Source
    origin: Origin | None

    @property
    def parents(self) -> bool:
        return isinstance(self.by, CopyOp) and self.by.parents

    @property
    def exclude(self) -> tuple[str, ...]:
        return self.by.exclude if isinstance(self.by, CopyOp) else ()


class Inputs(Struct, frozen=True):
    """The facts of all reads of a step, in their order, and the file records behind their digests, to be stored with
    the step's record."""

    sources: tuple[SourceFacts, ...] = ()
    records: dict[Digest, Sequence[FileRecord]] = {}


def reads(op: Op) -> tuple[Read, ...]:
    """All that an operation reads, in the order in which it enters the key."""
    match op:
        case CopyOp():
            return tuple(Read(op, source, op.origin) for source in op.sources)
        case RunOp(mounts=mounts) if mounts:
            return tuple(
                Read(mount, mount.source, mount.origin)
                for mount in mounts
                if isinstance(mount, BindMount) or (isinstance(mount, CacheMount) and mount.origin is not None)
            )
    return ()


def joined(parts: Sequence[Inputs]) -> Inputs:
    """The inputs of several reads as one."""
    if len(parts) == 1:
        return parts[0]
    records: dict[Digest, Sequence[FileRecord]] = {}
    for part in parts:
        records.update(part.records)
    return Inputs(tuple(facts for part in parts for facts in part.sources), records)


def context_inputs(read: Read, context: ContextReader, span: Span) -> Inputs:
    """Select from a build context. Raises BuildFailure `context-source-missing` for a literal that names nothing."""
    source = read.source
    assert isinstance(source, str)
    entries = context.entries()
    selections = select(entries, source, span=span, parents=read.parents, exclude=read.exclude)
    if not selections and not has_wildcard(source) and not (read.exclude and select(entries, source, span=span)):
        raise _missing(source, near(entries, source), context, span)
    wanted = [record.path for one in selections for record in one.files]
    digested = {record.path: record for record in context.digested(wanted)}
    filled = tuple(
        Selection(one.base, one.is_dir, tuple(digested[record.path] for record in one.files)) for one in selections
    )
    return _facts(read, filled)


def remembered_inputs(read: Read, chain: ChainID | None, facts: FactStore) -> Inputs | None:
    """What is read of another stage or image, from memory: a chain never changes, so neither does the answer.

    The selections stay empty, which is all that a hit needs. None if this was never asked for.
    """
    answer = facts.recall(_question(read, chain))
    return None if answer is None else Inputs((SourceFacts(_text(read), (), answer),))


def stage_inputs(
    read: Read, chain: ChainID | None, stack: Sequence[Path], layers: LayerIO, facts: FactStore, span: Span
) -> Inputs:
    """Select from another stage's or image's layers (directories, topmost first), and remember the answer.

    Raises BuildFailure `step-mount-source-missing` for a mount of what is not there.
    """
    pattern = _text(read)
    found = layers.records(stack, (pattern,), parents=read.parents, exclude=read.exclude)
    if not found and not isinstance(read.by, CopyOp):
        raise BuildFailure("step-mount-source-missing", f"{pattern!r} is not in what is mounted from", span=span)
    result = _facts(read, tuple(found))
    facts.remember(_question(read, chain), result.sources[0].files)
    return result


def fetched_inputs(read: Read, fetched: Fetched) -> Inputs:
    """All of a download or a repository's tree."""
    if isinstance(read.source, HttpSource):
        return _facts(read, (Selection(fetched.records[0].path, False, fetched.records),))
    return _facts(read, (Selection("", True, fetched.records),))


def inline_inputs(read: Read, inline: Inline) -> Inputs:
    """A heredoc: a file of its own."""
    data = inline.content.encode("utf-8", "surrogateescape")
    record = FileRecord(inline.name, "file", _FILE_MODE, len(data), sha256(data).hexdigest())
    return _facts(read, (Selection(inline.name, False, (record,)),))


def _facts(read: Read, selections: tuple[Selection, ...]) -> Inputs:
    by = read.by
    facts, files = source_facts(by, read.source, selections) if isinstance(by, CopyOp) else mount_facts(by, selections)
    return Inputs((facts,), {facts.files: files})


def _text(read: Read) -> str:
    assert isinstance(read.source, str)
    return read.source


def _question(read: Read, chain: ChainID | None) -> Digest:
    by = read.by
    frames = FramedHash()
    frames.add("schema", str(SCHEMA))
    frames.add("selection", chain or "scratch")
    frames.add("source", _text(read))
    if isinstance(by, CopyOp):
        octal = by.chmod.isdigit()
        frames.add("modes", "no" if octal else "yes")
        frames.add("owners", "no" if by.chown else "yes")
        if by.parents or by.exclude:
            frames.add("parents", "yes" if by.parents else "no")
            for pattern in by.exclude:
                frames.add("exclude", pattern)
    else:
        frames.add("mount", "yes")
    return frames.digest()


def _missing(source: str, similar: Sequence[str], context: ContextReader, span: Span) -> BuildFailure:
    rule = context.hidden_by(source)
    if rule is not None:
        hint = f"the ignore rule {rule} keeps it out of the build context"
    elif source.startswith("..") or "/../" in source:
        hint = "a path cannot lead out of the build context: pass a directory above as the context instead"
    elif similar:
        hint = f"did you mean {' or '.join(similar[:2])}?"
    else:
        hint = "paths are relative to the build context, not to the Dockerfile"
    return BuildFailure("context-source-missing", f"{source!r} is not in the build context", span=span, hint=hint)
