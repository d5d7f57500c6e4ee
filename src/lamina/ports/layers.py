"""Ports of layers: what is put into one, what one holds, and the limits for what comes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from lamina.digest import DiffID, Digest
from lamina.keys.filetree import Selection
from lamina.keys.looks import Look
from lamina.ports.sources import ContextReader
from lamina.ports.storing import Workspace


class LayerDiff(Struct, frozen=True):
    """What a finished upper directory holds. `size` is the bytes of its regular files; `empty` if it changes nothing;
    `files` digests all of it but times, for early cutoff. `disk` is its bytes on the disk that no other shares."""

    diff_id: DiffID
    size: int
    empty: bool
    files: Digest
    disk: int | None = None


class User(Struct, frozen=True):
    """A user as the root file system knows it: numeric ids, supplementary groups (without `gid`), home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


class Earlier(Struct, frozen=True):
    """A layer that the same copy made before. `contents` is the hex SHA-256 of its regular files without extended
    attributes, by their path in the root (no leading slash). With `times`, what has not changed keeps the times that it
    has there, whatever the source's are: a step that was observed on that layer then sees the same."""

    layer: Path
    contents: dict[str, str]
    times: bool = False


class Placement(Struct, frozen=True):
    """What COPY or ADD does: see `lamina.plan.steps.CopyOp` for the meaning of the flags, here all resolved.

    `source` is what to read from: a context (None) or a layer stack or plain directory (topmost first). `groups` is one
    list of selected records a source argument, in order, each with the base path that is stripped from its paths.
    `chmod` as in `CopyOp`. Files that `earlier` holds with the same content and attributes are shared with it.
    """

    dest: str
    dest_is_dir: bool
    groups: tuple[Selection, ...]
    owner: tuple[int, int] | None
    chmod: str
    unpack: bool
    source: tuple[Path, ...] | None = None
    earlier: Earlier | None = None


class Accounts(Protocol):
    """Users and groups by a stack's own /etc/passwd and /etc/group. Both raise `step-unknown-user`."""

    def resolve_user(self, layers: Sequence[Path], user: str) -> User:
        """USER's `name|uid[:group|gid]`; empty is root."""

    def resolve_owner(self, layers: Sequence[Path], owner: str) -> tuple[int, int]:
        """`--chown`'s `name|uid[:group|gid]` as uid and gid; a number alone is both."""


class LayerIO(Accounts, Protocol):
    """Reading and writing layer directories without mounting anything."""

    def diff(self, upper: Path, latest: int | None = None) -> LayerDiff:
        """Describe a finished layer directory: one walk, one read of each file. With `latest` (seconds since 1970) the
        directory is marked first: whatever writes it out then gives no file a later time. The files keep theirs."""

    def place(self, work: Workspace, placement: Placement, context: ContextReader | None) -> None:
        """Carry out a COPY or ADD into `work.upper`."""

    def answers(self, layer: Path, looks: Sequence[Look], contents: Mapping[str, str]) -> bytes:
        """What one layer's directory answers to sorted looks, as in `keys.looks.SeenLayer`. `contents` are the hex
        SHA-256 of files that are known already, by path; other files are read."""

    def make_directory(self, work: Workspace, path: str, owner: tuple[int, int]) -> None:
        """WORKDIR: create `path` and its missing parents, mode 0755."""

    def records(
        self, layers: Sequence[Path], patterns: Sequence[str], *, parents: bool = False, exclude: Sequence[str] = ()
    ) -> Sequence[Selection]:
        """What these COPY --from sources select in a stack (see `keys.select.select`), with content digests."""


class Limits(Struct, frozen=True):
    """Limits that keep hostile input from filling a disk: bytes unpacked of one layer, entries of one layer."""

    max_layer_bytes: int = field(default=64 << 30)
    max_layer_entries: int = field(default=4_000_000)
