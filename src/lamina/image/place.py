"""COPY and ADD into a layer, as BuildKit does it (Dockerfile reference, "COPY", "ADD").

The destination is resolved inside the root, links included; a missing one is made with its parents: 0755, or what an
octal --chmod says, which leaves archives alone. A single file lands inside an existing directory, a directory's
contents land below the destination, whose own attributes stay. Below that, directories merge and take the source's
attributes, and nothing ever changes between file and directory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

from lamina.image.archive import open_archive
from lamina.image.earlier import EarlierLayer
from lamina.image.entries import Attributes, write_file, write_link, write_special
from lamina.image.sources import Source
from lamina.image.unpacked import unpack
from lamina.image.upper import Directory, NewDirectory, Upper
from lamina.keys.filetree import FileRecord, Selection
from lamina.plan.chmod import changed
from lamina.ports.layers import Limits, Placement


def place(upper: Upper, placement: Placement, source: Source, limits: Limits) -> None:
    """Carry out a placement. Raises OSError, whose `filename` is a path in the root where the tree is to blame, and
    BuildFailure from `source` and from archives."""
    with ExitStack() as stack:
        earlier = stack.enter_context(EarlierLayer(placement.earlier)) if placement.earlier else None
        placer = _Placer(upper, placement, source, earlier)
        _place(placer, upper, placement, source, limits)
        if earlier is not None and earlier.keeps_times:
            earlier.settle(upper, placer.implied)


def _place(placer: _Placer, upper: Upper, placement: Placement, source: Source, limits: Limits) -> None:
    for selection in placement.groups:
        if placement.unpack and not selection.is_dir and selection.files[0].kind == "file":
            with source.open(selection.files[0]) as stream, open_archive(stream) as archive:
                if archive is not None:
                    directory = placer.destination(NewDirectory(*(placement.owner or (0, 0))))
                    unpack(archive, selection.base, upper, directory.path, placement.owner, limits)
                    continue
        if selection.is_dir:
            placer.copy_tree(selection)
        else:
            placer.copy_one(selection)


class _Placer:
    """One placement under way."""

    def __init__(self, upper: Upper, placement: Placement, source: Source, earlier: EarlierLayer | None = None) -> None:
        self._upper = upper
        self._earlier = earlier
        self._placement = placement
        self._source = source
        # As in BuildKit an octal --chmod is the mode of the directories on the way too.
        mode = int(placement.chmod, 8) if placement.chmod.isdigit() else 0o755
        self.implied = NewDirectory(*(placement.owner or (0, 0)), mode)
        #: Files with several names: directory and name of the copy, by the source's inode, and the reverse. Paths, not
        #: open directories, as there may be more of those than a process can hold open.
        self._linked: dict[tuple[int, int], tuple[str, str]] = {}
        self._inodes: dict[tuple[str, str], tuple[int, int]] = {}

    def destination(self, make: NewDirectory) -> Directory:
        """The destination as a directory, made if it is missing."""
        return self._upper.open(self._upper.view.walk(self._placement.dest).path, make)

    def copy_one(self, selection: Selection) -> None:
        """Copy anything but a directory."""
        found = self._upper.view.walk(self._placement.dest)
        if self._placement.dest_is_dir or (found.node is not None and found.node.is_dir):
            directory, name = self._upper.open(found.path, self.implied), selection.base.rpartition("/")[2]
        else:
            parent, _, name = found.path.rpartition("/")
            directory = self._upper.open(parent, self.implied)
        self._put(directory, name, selection.files[0])

    def copy_tree(self, selection: Selection) -> None:
        """Copy what is below a directory."""
        top = self.destination(self.implied)
        strip = len(selection.base) + 1 if selection.base else 0
        described: list[tuple[str, FileRecord]] = []
        current, directory = "", top
        for record in selection.files:
            relative = record.path[strip:]
            if not relative:
                continue  # the directory itself: the destination keeps its own attributes
            is_dir = record.kind == "dir"
            parent, _, name = (relative, "", "") if is_dir else relative.rpartition("/")
            if parent != current:
                directory = self._upper.open(_join(top.path, parent), self.implied)
                current = parent
            if is_dir:
                described.append((directory.path, record))
            else:
                self._put(directory, name, record)
        self._describe(described)

    def _describe(self, directories: Sequence[tuple[str, FileRecord]]) -> None:
        """Give directories their attributes, deepest first: filling them changed their times."""
        for path, record in reversed(directories):
            self._attributes(record).apply(self._upper.open(path, self.implied).fd)

    def _put(self, directory: Directory, name: str, record: FileRecord) -> None:
        kind = record.kind
        if kind == "socket":
            return  # nobody listens in an image, and a layer's tar cannot hold one
        attributes = self._attributes(record)
        if self._earlier is not None:
            if self._earlier.keeps_times:
                attributes = self._earlier.timed(directory, name, record, attributes)
            # Most names are free, and a link says so itself: one look less at each file of a large copy.
            alone = kind == "file" and self._source.inode(record) is None
            if alone and directory.is_free_below(name) and self._earlier.link(directory, name, record, attributes):
                return
        if directory.make_way(name):
            replaced = self._inodes.pop((directory.path, name), None)
            if replaced is not None:
                del self._linked[replaced]
        if kind == "file":
            self._put_file(directory, name, record, attributes)
        elif kind == "link":
            write_link(directory, name, record.target, attributes)
        else:
            write_special(directory, name, kind, record.target, attributes)

    def _put_file(self, directory: Directory, name: str, record: FileRecord, attributes: Attributes) -> None:
        """A regular file; one of several names becomes a hard link if another was put before, and still stands."""
        inode = self._source.inode(record)
        if inode is not None:
            if inode in self._linked:
                path, first = self._linked[inode]
                parent = self._upper.open(path, self.implied)
                os.link(first, name, src_dir_fd=parent.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
                return
            self._linked[inode] = directory.path, name
            self._inodes[directory.path, name] = inode
        if self._earlier is not None and self._earlier.link(directory, name, record, attributes):
            return
        with self._source.open(record) as stream:
            write_file(directory, name, stream, record.size, attributes)

    def _attributes(self, record: FileRecord) -> Attributes:
        placement = self._placement
        mode = record.mode
        if placement.chmod:
            mode = changed(placement.chmod, mode, record.kind == "dir")
        uid, gid = placement.owner or self._source.owner(record)
        return Attributes(mode, uid, gid, self._source.mtime_ns(record), record.xattrs)


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent and name else parent or name
