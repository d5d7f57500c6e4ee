"""Past builds with their stories, for `explain`; and which file lists those stories name.

A build is one row. Its story, which this room knows as a value of some type alone, lies compressed in the same row, so
that both come and go together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TypeVar

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.store.codec import decode, encode, to_blob
from lamina.store.index import Index

T = TypeVar("T")

#: zlib, although zstandard is better: it is there already in a build that has nothing to do.
_LEVEL = 6
#: No story is so long; a row that says so is damaged.
_LONGEST = 1 << 28


class Build(Struct, frozen=True):
    """One build. `started` in seconds since the epoch, `seconds` of wall clock; `image` the image ID if there is one;
    `log` the log's file name; `facts` the lists of files that its story names; `key` the image's final key. `origin`
    says where an imported one came from, and is empty for the builds of this store."""

    id: str
    project: str
    started: float
    seconds: float
    result: str
    image: str | None = None
    log: str | None = None
    facts: tuple[Digest, ...] = ()
    key: Digest | None = None
    origin: str = ""


class _Row(Struct, frozen=True):
    """What a row's data holds. Rows of an older lamina lack the story, and have fields that are passed over."""

    id: str
    project: str
    started: float
    seconds: float
    result: str
    image: str | None = None
    log: str | None = None
    facts: tuple[Digest, ...] = ()
    key: Digest | None = None
    origin: str = ""
    story: bytes = b""


class Builds:
    """The list of builds."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, build: Build, story: object = None) -> None:
        """Keep a build with its story (any value that msgspec can write), or keep it anew under its id."""
        fields = {name: getattr(build, name) for name in Build.__struct_fields__}
        data = encode(_Row(**fields, story=b"" if story is None else _compressed(encode(story))))
        with self._index.write() as connection:
            connection.execute("DELETE FROM builds WHERE id = ?", (build.id,))
            connection.execute(
                "INSERT INTO builds (id, project, started, data) VALUES (?, ?, ?, ?)",
                (build.id, to_blob(build.project), build.started, data),
            )

    def story(self, build: str, kind: type[T]) -> T | None:
        """The story of the build with this id. None if there is none, if it is damaged, or if it is of a shape that
        `kind` does not have."""
        for row in self._rows("SELECT data FROM builds WHERE id = ?", build):
            raw = _decompressed(row.story)
            try:
                return decode(raw, kind)
            except ValueError:
                return None
        return None

    def get(self, prefix: str) -> Build | None:
        """The build whose id is `prefix` or alone begins with it. Raises BuildFailure `store-build-ambiguous`."""
        found = [
            _build(row)
            for row in self._rows(
                "SELECT data FROM builds WHERE substr(id, 1, ?) = ? ORDER BY number DESC", len(prefix), prefix
            )
        ]
        if len(found) > 1 and all(build.id != prefix for build in found):
            told = ", ".join(build.id for build in found[:4]) + (", …" if len(found) > 4 else "")
            raise BuildFailure(
                "store-build-ambiguous", f"{len(found)} builds have an id that begins with {prefix}", hint=told
            )
        return next((build for build in found if build.id == prefix), found[0] if found else None)

    def resolve(self, prefix: str) -> Build:
        """As `get`. Raises BuildFailure `store-build-missing` too."""
        build = self.get(prefix)
        if build is None:
            raise self.missing(prefix)
        return build

    def missing(self, text: str) -> BuildFailure:
        """The error that there is no build `text`, with what may have been meant."""
        from difflib import get_close_matches

        near = get_close_matches(text, [build.id for build in self.last(200)], 1, 0.75)
        hint = f"did you mean {near[0]}?" if near else "`lamina explain --list` lists the builds"
        return BuildFailure("store-build-missing", f"there is no build {text!r} in the store", hint=hint)

    def by_image(self, image: Digest) -> Build | None:
        """The newest build that made an image; one of this store goes before an imported one."""
        imported = None
        for build in self.newest():
            if build.image == image:
                if not build.origin:
                    return build
                imported = imported or build
        return imported

    def last(self, count: int = 10, project: str | None = None) -> tuple[Build, ...]:
        """The newest builds first, of one project or of all."""
        rows = self._rows(
            "SELECT data FROM builds WHERE ?1 IS NULL OR project = ?1 ORDER BY number DESC LIMIT ?2",
            None if project is None else to_blob(project),
            count,
        )
        return tuple(map(_build, rows))

    def newest(self, beginning: str = "") -> Iterator[Build]:
        """All builds whose project begins so, the newest first, read as they are asked for."""
        start = to_blob(beginning)
        numbers = self._index.read(
            "SELECT number FROM builds WHERE substr(project, 1, ?) = ? ORDER BY number DESC", len(start), start
        )
        for (number,) in numbers:
            yield from map(_build, self._rows("SELECT data FROM builds WHERE number = ?", number))

    def facts(self) -> set[Digest]:
        """The lists of files that the stories of all builds name. A damaged build names none."""
        return {digest for row in self._rows("SELECT data FROM builds") for digest in row.facts}

    def trim(self, keep: int) -> tuple[str, ...]:
        """Drop all but the newest `keep` builds of each project; returns the names of their logs."""
        return self._drop(
            "number IN (SELECT number FROM (SELECT number, row_number() OVER "
            "(PARTITION BY project ORDER BY number DESC) AS place FROM builds) WHERE place > ?)",
            keep,
        )

    def forget(self, older_than: float) -> tuple[str, ...]:
        """Drop builds started before `older_than` (seconds since the epoch); returns the names of their logs."""
        return self._drop("started < ?", older_than)

    def _drop(self, condition: str, limit: float) -> tuple[str, ...]:
        with self._index.write() as connection:
            rows = connection.execute(f"SELECT data FROM builds WHERE {condition}", (limit,)).fetchall()
            connection.execute(f"DELETE FROM builds WHERE {condition}", (limit,))
        return tuple(row.log for row in _readable(rows) if row.log)

    def _rows(self, sql: str, *parameters: object) -> Iterator[_Row]:
        return _readable(self._index.read(sql, *parameters))


def _readable(rows: list[tuple[bytes]]) -> Iterator[_Row]:
    for (data,) in rows:
        try:
            yield decode(data, _Row)
        except ValueError:
            continue  # a damaged row of history is no reason to fail


def _build(row: _Row) -> Build:
    return Build(**{name: getattr(row, name) for name in Build.__struct_fields__})


def _compressed(raw: bytes) -> bytes:
    return zlib.compress(raw, _LEVEL)


def _decompressed(data: bytes) -> bytes:
    """The story's bytes, none if they are damaged."""
    try:
        return zlib.decompressobj().decompress(data, _LONGEST)
    except zlib.error:
        return b""
