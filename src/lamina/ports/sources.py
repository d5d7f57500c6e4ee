"""Ports of files from outside: the build context, and what is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import Struct

from lamina.keys.filetree import FileRecord
from lamina.plan.steps import GitSource, HttpSource


class ContextReader(Protocol):
    """The build context: a directory that the user owns, read and never written."""

    def entries(self) -> Sequence[FileRecord]:
        """Everything that the ignore rules leave, sorted by path, without content digests. Scanned once."""

    def digested(self, paths: Sequence[str]) -> Sequence[FileRecord]:
        """The records of these paths with `content` filled in; each file is read at most once, or not at all."""

    def open(self, record: FileRecord) -> BinaryIO:
        """A regular file's bytes. Raises BuildFailure `context-changed` if it is not the file that was digested."""

    def mtime_ns(self, path: str) -> int: ...
    def hidden_by(self, path: str) -> str | None:
        """The ignore rule that keeps `path` out, with its place, such as `*.log (.dockerignore:3)`; None if none does.
        Raises BuildFailure `context-unreadable` if it lies below a directory that could not be read."""


class Fetched(Struct, frozen=True):
    """A tree from elsewhere as a plain directory `root`, with all its records, sorted and digested (owner 0:0).
    `identity` is a git commit, or the digest of a download."""

    root: Path
    records: tuple[FileRecord, ...]
    identity: str


class Fetcher(Protocol):
    """Gets what ADD names by URL, and keeps it in the store. What it returned stays there as long as the store is open.
    All errors are BuildFailure `fetch-…`; nothing that fails its checksum is kept."""

    def http(self, source: HttpSource) -> Fetched:
        """One file, mode 0600, named as the URL's path ends, its mtime from Last-Modified. A URL that was fetched
        before is asked again with its validators and not downloaded if it did not change."""

    def git(self, source: GitSource) -> Fetched:
        """A repository's tree at a ref, or a directory of it; files are 0644 or 0755."""
