"""A commit's files written into a fresh directory: no checkout, no filter, no hook, and nothing outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamina.context.checkout import Unanswered
from lamina.diagnostics import BuildFailure
from lamina.history.log import contents, tree_of
from lamina.keys.filetree import FileRecord

#: So many blobs are asked for at once: what is in memory stays small.
_BATCH = 200


def write_tree(repository: Path, commit: str, into: Path) -> None:
    """Write what `repository` (a directory of a checkout) holds in a commit into `into`, which must not exist.

    Blobs are written as they are stored: a file that git keeps elsewhere (LFS) is its pointer, and a submodule an
    empty directory. Raises BuildFailure `context-no-history`.
    """
    try:
        records = tree_of(repository, commit)
        into.mkdir()
        for record in records:
            _check(record.path)
        files = [record for record in records if record.kind == "file" and record.size == 0]
        for folder in _folders(records):
            (into / folder).mkdir()
        for record, data in _filled(repository, files):
            with (into / record.path).open("xb") as file:
                file.write(data)
                os.fchmod(file.fileno(), record.mode)
        for record in records:
            # Last, so that nothing is written through one.
            if record.kind == "link":
                os.symlink(record.target, into / record.path)
    except (Unanswered, OSError) as error:
        raise BuildFailure(
            "context-no-history", f"the files of commit {commit[:12]} cannot be written", cause=str(error)
        ) from None


def _filled(repository: Path, files: Sequence[FileRecord]) -> Iterator[tuple[FileRecord, bytes]]:
    for first in range(0, len(files), _BATCH):
        batch = files[first : first + _BATCH]
        found = contents(repository, [record.content for record in batch])
        for record in batch:
            if record.content not in found:
                raise Unanswered(f"the repository lacks the content of {record.path!r}")
            yield record, found[record.content]


def _folders(records: Sequence[FileRecord]) -> list[str]:
    """All directories, parents first. A submodule is one."""
    found: set[str] = set()
    for record in records:
        path = f"{record.path}/" if record.kind == "file" and record.size else record.path
        while "/" in path:
            path = path.rpartition("/")[0]
            found.add(path)
    return sorted(found)


def _check(path: str) -> None:
    """Git does not write such a tree, but somebody else may have. Raises Unanswered."""
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in path.split("/")):
        raise Unanswered(f"it names {path!r}")
