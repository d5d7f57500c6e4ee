"""Past builds, for `explain` and for a step's usual duration."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from lamina.store.codec import decode, encode, to_blob
from lamina.store.index import Index


class Build(Struct, frozen=True):
    """One build. `started` in seconds since the epoch, `seconds` of wall clock; `image` the image ID if there is one;
    `decisions` JSON, a list with one decision a step, whose shape belongs to the engine; `log` the log's file name."""

    id: str
    project: str
    started: float
    seconds: float
    result: str
    image: str | None = None
    decisions: msgspec.Raw = msgspec.Raw(b"[]")
    log: str | None = None


class _Stored(Struct, frozen=True):
    """`Build` with its JSON as bytes: JSON cannot be raw inside MessagePack."""

    id: str
    project: str
    started: float
    seconds: float
    result: str
    image: str | None
    decisions: bytes
    log: str | None


class Builds:
    """The list of builds."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def add(self, build: Build) -> None:
        """Keep a build, or keep it anew under its id."""
        values = {name: getattr(build, name) for name in Build.__struct_fields__}
        data = encode(_Stored(**{**values, "decisions": bytes(build.decisions)}))
        with self._index.write() as connection:
            connection.execute("DELETE FROM builds WHERE id = ?", (build.id,))
            connection.execute(
                "INSERT INTO builds (id, project, started, data) VALUES (?, ?, ?, ?)",
                (build.id, to_blob(build.project), build.started, data),
            )

    def get(self, prefix: str) -> Build | None:
        """The newest build whose id starts with `prefix`."""
        rows = self._index.read(
            "SELECT data FROM builds WHERE substr(id, 1, ?) = ? ORDER BY number DESC LIMIT 1", len(prefix), prefix
        )
        return next(iter(_readable(rows)), None)

    def last(self, count: int = 10, project: str | None = None) -> tuple[Build, ...]:
        """The newest builds first, of one project or of all."""
        rows = self._index.read(
            "SELECT data FROM builds WHERE ?1 IS NULL OR project = ?1 ORDER BY number DESC LIMIT ?2",
            None if project is None else to_blob(project),
            count,
        )
        return tuple(_readable(rows))

    def forget(self, older_than: float) -> tuple[str, ...]:
        """Drop builds started before `older_than` (seconds since the epoch); returns the names of their logs."""
        rows = self._index.read("SELECT data FROM builds WHERE started < ?", older_than)
        with self._index.write() as connection:
            connection.execute("DELETE FROM builds WHERE started < ?", (older_than,))
        return tuple(build.log for build in _readable(rows) if build.log)


def _readable(rows: list[tuple[bytes]]) -> list[Build]:
    builds = []
    for (data,) in rows:
        try:
            stored = decode(data, _Stored)
        except ValueError:
            continue  # a damaged row of history is no reason to fail
        values = {name: getattr(stored, name) for name in _Stored.__struct_fields__}
        builds.append(Build(**{**values, "decisions": msgspec.Raw(stored.decisions)}))
    return builds
