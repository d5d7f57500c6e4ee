"""The facts that a COPY's key needs: what each source selects, by content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure, Span
from lamina.digest import ChainID, Digest, FramedHash
from lamina.keys.compute import SourceFacts, source_facts
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.select import has_wildcard, near, select
from lamina.plan.steps import CopyOp
from lamina.ports import ContextReader, FactStore, LayerIO


class CopyInputs(Struct, frozen=True):
    """The facts of all sources, and the file records behind their digests, to be stored with the step's record."""

    sources: tuple[SourceFacts, ...]
    records: dict[Digest, Sequence[FileRecord]] = {}


def context_inputs(op: CopyOp, context: ContextReader, span: Span) -> CopyInputs:
    """Select from the build context. Raises BuildFailure `context-source-missing` for a literal that names nothing."""
    entries = context.entries()
    chosen = []
    for source in op.sources:
        selections = select(entries, source, span=span)
        if not selections and not has_wildcard(source):
            raise _missing(source, near(entries, source), context, span)
        chosen.append(selections)
    wanted = [record.path for selections in chosen for one in selections for record in one.files]
    digested = {record.path: record for record in context.digested(wanted)}
    filled = (tuple(_filled(one, digested) for one in selections) for selections in chosen)
    sources: list[SourceFacts] = []
    records: dict[Digest, Sequence[FileRecord]] = {}
    for source, selections in zip(op.sources, filled, strict=True):
        facts, files = source_facts(op, source, selections)
        sources.append(facts)
        records[facts.files] = files
    return CopyInputs(tuple(sources), records)


def _filled(selection: Selection, digested: dict[str, FileRecord]) -> Selection:
    return Selection(selection.base, selection.is_dir, tuple(digested[record.path] for record in selection.files))


def remembered_inputs(op: CopyOp, chain: ChainID | None, facts: FactStore) -> CopyInputs | None:
    """What a COPY --from selects, from memory: a chain never changes, so neither does the answer.

    The selections stay empty, which is all that a hit needs. None if some source was never asked for.
    """
    sources: list[SourceFacts] = []
    for source in op.sources:
        answer = facts.recall(_question(op, chain, source))
        if answer is None:
            return None
        sources.append(SourceFacts(source, (), answer))
    return CopyInputs(tuple(sources))


def stage_inputs(
    op: CopyOp, chain: ChainID | None, stack: Sequence[Path], layers: LayerIO, facts: FactStore
) -> CopyInputs:
    """Select from another stage's or image's layers (directories, topmost first), and remember the answers."""
    sources: list[SourceFacts] = []
    records: dict[Digest, Sequence[FileRecord]] = {}
    for source in op.sources:
        found, files = source_facts(op, source, tuple(layers.records(stack, (source,))))
        facts.remember(_question(op, chain, source), found.files)
        sources.append(found)
        records[found.files] = files
    return CopyInputs(tuple(sources), records)


def _question(op: CopyOp, chain: ChainID | None, source: str) -> Digest:
    frames = FramedHash()
    frames.add("selection", chain or "scratch")
    frames.add("source", source)
    frames.add("modes", "no" if op.chmod is not None else "yes")
    frames.add("owners", "no" if op.chown else "yes")
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
