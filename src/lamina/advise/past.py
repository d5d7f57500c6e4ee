"""A repository's history as values: the whole tree at its beginning, and what each commit changed."""

from __future__ import annotations

from msgspec import Struct

from lamina.keys.filetree import FileRecord


class Change(Struct, frozen=True, gc=False):
    """One path (relative to the context) after a commit: what it is then, None if it is gone."""

    path: str
    after: FileRecord | None


class Commit(Struct, frozen=True, gc=False):
    """A commit: its full name, its committer's time in seconds since the epoch, its first line, and what it changed
    against its first parent."""

    id: str
    time: int
    subject: str
    changes: tuple[Change, ...]


class History(Struct, frozen=True):
    """The commits that touch the context, oldest first, and the tree that they began with.

    Records are of files and links alone, as git has them: `content` is the blob's name, `mode` 0644 or 0755, `size` 0.
    A submodule is a file of size 1 with its commit as content. `start_id` names the commit whose tree `start` is.
    `own_git`: the context is the top of the checkout, so that it holds `.git`. `notes` are sentences on what is not
    known.
    """

    start_id: str
    start: tuple[FileRecord, ...]
    commits: tuple[Commit, ...]
    own_git: bool = False
    notes: tuple[str, ...] = ()

    def head(self) -> dict[str, FileRecord]:
        """The tree after the last commit, by path."""
        tree = {record.path: record for record in self.start}
        for commit in self.commits:
            for change in commit.changes:
                if change.after is None:
                    tree.pop(change.path, None)
                else:
                    tree[change.path] = change.after
        return tree
