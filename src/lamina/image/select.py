"""What the sources of a COPY --from select in a stack of layers: the rules of `lamina.keys.select`, which does the
same for the context, walked over directories instead of a list.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from operator import attrgetter

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.dockerfile.globs import match
from lamina.image.rootfs import Found, Node, Rootfs
from lamina.image.xattrs import belongs_to_image
from lamina.keys.filetree import FileRecord, Selection, kind_of
from lamina.keys.select import clean, has_wildcard

_CHUNK = 1 << 20
_path = attrgetter("path")


class Selector:
    """Selects in one stack. Content is hashed once for each file, however many names it has."""

    def __init__(self, rootfs: Rootfs) -> None:
        self._rootfs = rootfs
        self._hashed: dict[tuple[int, int], str] = {}
        #: Regular files whose records wait for their content digest, while it is not known whether they are selected.
        self._waiting: dict[str, Node] | None = None

    def select(self, source: str, *, parents: bool = False, exclude: Sequence[str] = ()) -> list[Selection]:
        """One selection a match, in path order; none if a pattern with wildcards matches nothing. `parents` and
        `exclude`: see `keys.narrow`.

        Raises BuildFailure `step-copy-source-missing` for a literal that names nothing, `dockerfile-bad-pattern`, and
        `context-bad-ignore-pattern`.
        """
        if not parents and not exclude:
            return [self._selection(*found) for found in self._matches(source)]
        from lamina.keys.narrow import without

        waiting: dict[str, Node] = {}
        self._waiting = waiting
        try:
            found = self._with_parents(source) if parents else [self._selection(*one) for one in self._matches(source)]
        finally:
            self._waiting = None
        return [
            replace(one, files=tuple(self._completed(record, waiting) for record in one.files))
            for one in without(found, exclude)
        ]

    def _completed(self, record: FileRecord, waiting: Mapping[str, Node]) -> FileRecord:
        return replace(record, content=self._content(waiting[record.path])) if record.kind == "file" else record

    def _with_parents(self, source: str) -> list[Selection]:
        from lamina.keys.narrow import pivot, with_parents

        top, pattern = pivot(source)
        found: list[Selection] = []
        for _, path, node in self._matches(top):
            if node.is_dir:
                whole = Selection(path, True, tuple(self._towards(path, node, pattern)))
                found += with_parents(whole, pattern)
        if not found and not has_wildcard(source):
            raise self._missing(clean(source))
        return found

    def _towards(self, path: str, node: Node, pattern: str) -> list[FileRecord]:
        """All below a directory that a pattern may match, sorted, with the directories on the way."""
        records = [self._record(path, node)] if path else []
        for part in takewhile(_is_plain, pattern.strip("/").split("/")):
            child = self._rootfs.child(node.dirs, part)
            if child is None:
                return records
            path, node = _join(path, part), child
            records.append(self._record(path, node))
        records += self._below(path, node)
        return sorted(records, key=_path)

    def _matches(self, pattern: str) -> list[tuple[str, str, Node]]:
        """The base, the path and the node of each match."""
        parts = clean(pattern)
        fixed = next((index for index, part in enumerate(parts) if has_wildcard(part)), len(parts))
        found = self._walk("/".join(parts[:fixed]))
        if fixed == len(parts):
            if found is None or found.node is None:
                raise self._missing(parts)
            return [("/".join(parts), found.path, found.node)]
        if found is None or found.node is None or not found.node.is_dir:
            return []
        return [self._matched(path, node) for path, node in self._expand(found.path, found.node, parts[fixed:])]

    def _walk(self, path: str) -> Found | None:
        """Where a path leads; None where a process could not go: through a file, or round in circles."""
        try:
            return self._rootfs.walk(path)
        except OSError:
            return None

    def _expand(self, path: str, directory: Node, patterns: Sequence[str]) -> Iterator[tuple[str, Node]]:
        for name in sorted(self._rootfs.listing(directory.dirs), key=os.fsencode):
            if not match(patterns[0], name):
                continue
            node = self._rootfs.child(directory.dirs, name)
            assert node is not None
            child = _join(path, name)
            if len(patterns) == 1:
                yield child, node
            elif node.is_dir:
                yield from self._expand(child, node, patterns[1:])

    def _matched(self, path: str, node: Node) -> tuple[str, str, Node]:
        """A matched link is followed, unless it leads nowhere."""
        target = self._walk(path) if node.is_link else None
        if target is not None and target.node is not None:
            return path, target.path, target.node
        return path, path, node

    def _selection(self, base: str, path: str, node: Node) -> Selection:
        if not node.is_dir:
            return Selection(base, False, (self._record(path, node),))
        own = [self._record(path, node)] if path else []
        own += self._below(path, node)
        return Selection(path, True, tuple(sorted(own, key=_path)))

    def _below(self, path: str, directory: Node) -> list[FileRecord]:
        """The records of everything below, without recursion: images may be deeper than Python's stack."""
        records: list[FileRecord] = []
        waiting = [(path, directory)]
        while waiting:
            above, parent = waiting.pop()
            for name in self._rootfs.listing(parent.dirs):
                node = self._rootfs.child(parent.dirs, name)
                assert node is not None
                child = _join(above, name)
                records.append(self._record(child, node))
                if node.is_dir:
                    waiting.append((child, node))
        return records

    def _record(self, path: str, node: Node) -> FileRecord:
        info = node.stat
        kind = kind_of(info.st_mode)
        target = content = ""
        if kind == "file":
            if self._waiting is None:
                content = self._content(node)
            else:
                self._waiting[path] = node
        elif kind == "link":
            target = os.readlink(node.real)
        elif kind in ("char", "block"):
            target = f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
        return FileRecord(
            path=path,
            kind=kind,
            mode=info.st_mode & 0o7777,
            size=info.st_size if kind == "file" else 0,
            content=content,
            target=target,
            uid=info.st_uid,
            gid=info.st_gid,
            xattrs=_xattrs(node) if kind in ("file", "dir") else (),
        )

    def _content(self, node: Node) -> str:
        info = node.stat
        inode = (info.st_dev, info.st_ino)
        if inode in self._hashed:
            return self._hashed[inode]
        state = hashlib.sha256()
        with self._rootfs.open(node) as stream:
            while data := stream.read(min(info.st_size + 1, _CHUNK)):
                state.update(data)
        if info.st_nlink > 1:
            self._hashed[inode] = state.hexdigest()
        return state.hexdigest()

    def _missing(self, parts: Sequence[str]) -> BuildFailure:
        from difflib import get_close_matches

        parent = self._walk("/".join(parts[:-1]))
        names = self._rootfs.listing(parent.node.dirs) if parent is not None and parent.node is not None else {}
        near = [
            _join("/" + "/".join(parts[:-1]), name).replace("//", "/") for name in get_close_matches(parts[-1], names)
        ]
        hint = f"did you mean {' or '.join(near)}?" if near else "look into the stage that should have made it"
        return BuildFailure(
            "step-copy-source-missing", f"the source {'/' + '/'.join(parts)} is not in the stage or image", hint=hint
        )


def _xattrs(node: Node) -> tuple[tuple[str, bytes], ...]:
    names = sorted(name for name in os.listxattr(node.real, follow_symlinks=False) if belongs_to_image(name))
    return tuple((name, os.getxattr(node.real, name, follow_symlinks=False)) for name in names)


def _is_plain(part: str) -> bool:
    """Whether a component of an ignore pattern means nothing but itself."""
    return part not in ("", ".", "..") and part[0] != "!" and part == part.strip() and not set(part) & set("*?[\\")


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
