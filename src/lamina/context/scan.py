"""One walk over a context directory: what is there, less what the ignore rules keep out, with file identities.

No symbolic link is followed. Every directory is opened below the context's own descriptor and must be the inode that
its parent showed, so a directory swapped for a link while the walk goes on leads nowhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from msgspec import Struct

from lamina.context.identity import identity_of
from lamina.context.modes import Modes, git_mode
from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import IgnoreRules
from lamina.keys.filetree import FileRecord, Kind, kind_of

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_REPLACED = "it was replaced while the context was being scanned"

#: A record and its identity; the walk's currency.
_Found = tuple[FileRecord, bytes]


class Scan(Struct, frozen=True):
    """A context as it was seen. `records` are sorted by path, without the root itself and without content;
    `identities` stand beside them. `unreadable` maps a directory that could not be read to the reason; `visited` each
    that was, the root "" and excluded ones included, to the identity that it had just before."""

    records: tuple[FileRecord, ...]
    identities: tuple[bytes, ...]
    unreadable: dict[str, str]
    visited: dict[str, bytes]


def open_root(directory: str) -> int:
    """A descriptor of the context directory (a link to it is fine: the user named it).

    Raises BuildFailure `context-not-found`, `context-not-a-directory`, `context-unreadable`.
    """
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise BuildFailure("context-not-found", f"the build context {directory!r} does not exist") from error
    except NotADirectoryError as error:
        raise BuildFailure("context-not-a-directory", f"the build context {directory!r} is not a directory") from error
    except OSError as error:
        raise unreadable(directory, error.strerror) from error


def unreadable(path: str, cause: str | None) -> BuildFailure:
    return BuildFailure(
        "context-unreadable",
        f"cannot read {path!r} in the build context",
        cause=cause,
        hint="give yourself permission to read it, or keep it out with a line in .dockerignore",
    )


def scan(root: int, rules: IgnoreRules | None = None, modes: Modes = "keep") -> Scan:
    """Walk the directory behind the descriptor `root`. Sockets are left out, as is what vanishes during the walk.

    A directory that the rules exclude is entered only if a negation may bring back something below it, and is part of
    the result only if one does. Raises BuildFailure `context-unreadable` if the root itself cannot be read.
    """
    walk = _Walk(root, rules, modes)
    walk.run()
    if "" in walk.unreadable:
        raise unreadable(".", walk.unreadable[""])
    if walk.gone:
        walk.found = [found for found in walk.found if found[0].path not in walk.gone]
    walk.found.sort(key=lambda found: found[0].path)
    records, identities = tuple(record for record, _ in walk.found), tuple(mark for _, mark in walk.found)
    return Scan(records, identities, walk.unreadable, walk.visited)


class _Walk:
    """The state of one walk: `held` are excluded directories that are waiting for something included below them."""

    def __init__(self, root: int, rules: IgnoreRules | None, modes: Modes) -> None:
        self.root = root
        self.rules = rules
        self.modes = modes
        self.found: list[_Found] = []
        self.held: dict[str, _Found] = {}
        self.unreadable: dict[str, str] = {}
        self.visited: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.todo: list[tuple[str, os.stat_result]] = [("", os.fstat(root))]

    def run(self) -> None:
        while self.todo:
            directory, expected = self.todo.pop()
            before = len(self.found)
            try:
                self._directory(directory, expected)
            except FileNotFoundError:
                self.gone.add(directory)
            except OSError as error:
                replaced = error.errno in (errno.ELOOP, errno.ENOTDIR)
                self.unreadable[directory] = _REPLACED if replaced else error.strerror or str(error)
            if self.held and len(self.found) > before:
                self._release(directory)

    def _directory(self, directory: str, expected: os.stat_result) -> None:
        descriptor = os.open(directory or ".", _OPEN_DIRECTORY, dir_fd=self.root)
        try:
            status = os.fstat(descriptor)
            if not os.path.samestat(status, expected):
                self.unreadable[directory] = _REPLACED
                return
            self.visited[directory] = identity_of(status)
            with os.scandir(descriptor) as entries:
                self._entries(descriptor, f"{directory}/" if directory else "", entries)
        finally:
            os.close(descriptor)

    def _entries(self, descriptor: int, prefix: str, entries: Iterator[os.DirEntry[str]]) -> None:
        rules, modes, found = self.rules, self.modes, self.found
        for entry in entries:
            path = prefix + entry.name
            excluded = rules is not None and rules.excluded(path)
            if excluded and not self._may_return(entry, path):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
                kind = kind_of(status.st_mode)
                target = _target(descriptor, entry.name, kind, status) if kind not in ("file", "dir") else ""
            except FileNotFoundError:
                continue
            mode = status.st_mode & 0o7777
            if modes == "git":
                mode = git_mode(kind, mode)
            if kind == "file":
                record = FileRecord(path, "file", mode, status.st_size)
            elif kind == "dir":
                self.todo.append((path, status))
                record = FileRecord(path, "dir", mode)
                if excluded:
                    self.held[path] = (record, identity_of(status))
            elif kind != "socket":
                record = FileRecord(path, kind, mode, target=target)
            if kind != "socket" and not excluded:
                found.append((record, identity_of(status)))

    def _may_return(self, entry: os.DirEntry[str], path: str) -> bool:
        return self.rules is not None and entry.is_dir(follow_symlinks=False) and self.rules.may_hold_included(path)

    def _release(self, directory: str) -> None:
        while directory:
            held = self.held.pop(directory, None)
            if held is not None:
                self.found.append(held)
            directory = directory.rpartition("/")[0]


def _target(descriptor: int, name: str, kind: Kind, status: os.stat_result) -> str:
    """Raises FileNotFoundError if a link is no longer there or has become something else."""
    if kind == "link":
        try:
            return os.readlink(name, dir_fd=descriptor)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise FileNotFoundError(errno.ENOENT, "no longer a link", name) from error
            raise
    if kind in ("char", "block"):
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return ""
