"""The commits of a context, with what each changed: a handful of questions to git, however long the history is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from lamina.advise.past import Change, Commit, History
from lamina.context.checkout import Unanswered, ask
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord

#: Git's modes of a link and of a submodule.
_LINK, _SUBMODULE = "120000", "160000"
_HEADER = re.compile(r"\x01([0-9a-f]{40,64}) (-?\d+) (.*)\Z", re.DOTALL)
_RAW = re.compile(r"\n?:\d{6} (\d{6}) [0-9a-f]+ ([0-9a-f]+) [A-Z]\d*\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?|yesterday|\d+[ .](second|minute|hour|day|week|month|year)s?([ .]ago)?")
#: One step a merge, renames as what they do to the files, nothing that runs a program.
_LOG = "log --first-parent -m --raw -z --no-renames --no-abbrev --relative --no-ext-diff --no-textconv --no-color"


def read_history(directory: Path, *, limit: int, since: str = "") -> History:
    """The last `limit` commits that touch `directory`, along first parents, so that a merge is one step; with `since`
    (a revision, or a date) those after it.

    Raises BuildFailure `context-no-history`, saying why, and `usage-bad-arguments` for a `since` that is neither.
    """
    try:
        return _read(directory, limit, since)
    except Unanswered as silence:
        raise _none(directory, str(silence)) from None


def contents(directory: Path, blobs: Sequence[str]) -> dict[str, bytes]:
    """The bytes of blobs by their names, without those that the repository lacks. Raises Unanswered."""
    if not blobs:
        return {}
    said = ask(directory, "cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
    found: dict[str, bytes] = {}
    at = 0
    while at < len(said):
        end = said.index(b"\n", at)
        name, *rest = said[at:end].decode("ascii", "replace").split(" ")
        at = end + 1
        if len(rest) == 2:
            size = int(rest[1])
            found[name] = said[at : at + size]
            at += size + 1
    return found


def tree_of(directory: Path, commit: str) -> tuple[FileRecord, ...]:
    """All files and links below `directory` in a commit, targets of links included. Raises Unanswered."""
    return tuple(_linked(_tree(directory, commit), directory))


def _read(directory: Path, limit: int, since: str) -> History:
    prefix, shallow = _place(directory)
    range_, dated = _since(directory, since)
    # One more than asked for: the tree of the last one is what the others are replayed upon.
    words = [*_LOG.split(), "--encoding=UTF-8", "--format=%x01%H %ct %s", f"-n{limit + 1}", *dated, *range_, "--", "."]
    commits = list(_commits(os.fsdecode(ask(directory, *words))))
    if not commits:
        raise _none(directory, f"no commit{f' after {since}' if since else ''} touches it")
    oldest = commits[-1].id
    start = oldest if len(commits) > limit else _parent(directory, oldest)
    if start is None or start == oldest:
        start = oldest
        commits.pop()
    if not commits:
        why = "this is a shallow clone of one commit" if shallow else "a single commit tells nothing about change"
        raise _none(directory, why, "`git fetch --unshallow` brings the history" if shallow else None)
    commits.reverse()
    notes = []
    if shallow and not since and len(commits) < limit:
        notes.append(
            f"this is a shallow clone, which knows {len(commits)} of the {limit} commits that were asked for; "
            "`git fetch --unshallow` brings the others"
        )
    history = _with_targets(History(start, _tree(directory, start), tuple(commits), not prefix), directory)
    modules = sorted(path for path, record in history.head().items() if _is_submodule(record))
    if modules:
        notes.append(f"submodules are known by their commits alone: {', '.join(modules[:3])}")
    return replace(history, notes=tuple(notes))


def _place(directory: Path) -> tuple[str, bool]:
    """Where a directory is in its repository (empty at the top), and whether that is a shallow clone."""
    said = os.fsdecode(ask(directory, "rev-parse", "--show-prefix", "--is-shallow-repository"))
    prefix, shallow = said.split("\n")[:2]
    return prefix, shallow == "true"


def _since(directory: Path, since: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The revisions to list (none: those of HEAD), and the option for a date."""
    if not since:
        return (), ()
    try:
        found = ask(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}")
        return (f"{found.decode('ascii').strip()}..HEAD",), ()
    except Unanswered:
        if _DATE.fullmatch(since):
            return (), (f"--since={since}",)
    hint = "write a commit, a branch or a tag, or a date such as 2025-01-31 or '3 months ago'"
    raise BuildFailure("usage-bad-arguments", f"--since {since!r} is no revision here and no date", hint=hint)


def _parent(directory: Path, commit: str) -> str | None:
    """The first parent, None for a commit without one, or with one that a shallow clone lacks."""
    try:
        return ask(directory, "rev-parse", "--verify", "--quiet", f"{commit}^1^{{commit}}").decode("ascii").strip()
    except Unanswered:
        return None


def _tree(directory: Path, commit: str) -> tuple[FileRecord, ...]:
    """The files below `directory` in a commit, links without their targets."""
    said = os.fsdecode(ask(directory, "ls-tree", "-r", "-z", commit))
    found = []
    for line in said.split("\0"):
        facts, tab, path = line.partition("\t")
        if tab:
            mode, _, blob = facts.split(" ")
            found.append(_record(path, mode, blob))
    return tuple(sorted(found, key=lambda record: record.path))


def _commits(said: str) -> Iterator[Commit]:
    """The output of `_LOG`, newest first."""
    words = iter(said.split("\0"))
    head: re.Match[str] | None = None
    changes: list[Change] = []
    for word in words:
        begun = _HEADER.match(word.lstrip("\n"))
        raw = _RAW.match(word)
        if begun is not None:
            if head is not None:
                yield _commit(head, changes)
            head, changes = begun, []
        elif raw is not None:
            path = next(words)
            changes.append(Change(path, None if raw[1] == "000000" else _record(path, raw[1], raw[2])))
    if head is not None:
        yield _commit(head, changes)


def _commit(head: re.Match[str], changes: Sequence[Change]) -> Commit:
    return Commit(head[1], int(head[2]), head[3], tuple(changes))


def _record(path: str, mode: str, blob: str) -> FileRecord:
    if mode == _LINK:
        return FileRecord(path, "link", 0o777, content=blob)
    return FileRecord(
        path, "file", 0o755 if mode.endswith("755") else 0o644, size=int(mode == _SUBMODULE), content=blob
    )


def _is_submodule(record: FileRecord) -> bool:
    return record.kind == "file" and record.size == 1


def _with_targets(history: History, directory: Path) -> History:
    """The same history with links that know where they lead."""
    changed = [change.after for commit in history.commits for change in commit.changes if change.after is not None]
    records = iter(_linked((*history.start, *changed), directory))
    start = tuple(next(records) for _ in history.start)
    commits = tuple(
        replace(
            commit,
            changes=tuple(
                change if change.after is None else Change(change.path, next(records)) for change in commit.changes
            ),
        )
        for commit in history.commits
    )
    return replace(history, start=start, commits=commits)


def _linked(records: Sequence[FileRecord], directory: Path) -> Iterator[FileRecord]:
    """The records with the targets of links; one that the repository lacks (a partial clone) leads nowhere."""
    links = sorted({record.content for record in records if record.kind == "link"})
    targets = contents(directory, links)
    for record in records:
        if record.kind == "link":
            target = os.fsdecode(targets.get(record.content, b"")) or f"?{record.content}"
            yield FileRecord(record.path, "link", record.mode, target=target)
        else:
            yield record


def _none(directory: Path, cause: str, hint: str | None = None) -> BuildFailure:
    if "dubious ownership" in cause or "unsafe repository" in cause:
        hint = "if you trust who owns it, add it to git's safe.directory"
    return BuildFailure(
        "context-no-history",
        f"{str(directory)!r} has no history to learn from",
        cause=cause,
        hint=hint or "advice is made of commits that change the context: run it in a git checkout with at least two",
    )
