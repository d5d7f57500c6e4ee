"""File facts: the list of file records behind a tree digest, kept with every key so that keys can be compared by file.

Column by column and compressed: 10,000 files are some 400 kB, nearly all of it their content digests, which nothing
compresses. The frame has a checksum; a damaged list is as good as none and is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from lamina.digest import Digest, parse_digest
from lamina.keys.filetree import FileRecord, Kind
from lamina.store.codec import to_blob
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import Layout
from lamina.store.session import Session

_KINDS: tuple[Kind, ...] = ("file", "dir", "link", "fifo", "char", "block", "socket")
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_LEVEL = 1


class _Columns(Struct, frozen=True, array_like=True):
    """Paths and targets are joined by NUL, which no path holds; contents are 32 bytes each, only where there is one."""

    count: int
    paths: bytes
    kinds: bytes
    modes: list[int]
    sizes: list[int]
    has_content: bytes
    contents: bytes
    targets: bytes
    owners: list[tuple[int, int]] | None
    xattrs: dict[int, tuple[tuple[bytes, bytes], ...]]


class Facts:
    """A `ports.FactStore` on disk: lists of file records by tree digest, and remembered answers."""

    def __init__(self, layout: Layout, session: Session, index: Index) -> None:
        self._directory = layout.facts
        self._session = session
        self._index = index

    def put(self, digest: Digest, records: Sequence[FileRecord]) -> None:
        """Keep `records` under their tree digest, unless they are kept already. Raises BuildFailure."""
        path = self._path(digest)
        if path.exists():
            return
        import zstandard

        raw = msgspec.msgpack.encode(_to_columns(records))
        data = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(raw)
        draft = self._session.fresh()
        with explained(path, len(data)):
            draft.write_bytes(data)
            draft.rename(path)

    def get(self, digest: Digest) -> tuple[FileRecord, ...] | None:
        """The records of a tree digest, None if they are not there (any more)."""
        import zstandard

        path = self._path(digest)
        try:
            with explained(path):
                data = path.read_bytes() if path.exists() else None
            if data is None:
                return None
            raw = zstandard.ZstdDecompressor().decompress(data)
            return tuple(_from_columns(msgspec.msgpack.decode(raw, type=_Columns)))
        except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, IndexError):
            self.delete(digest)
            return None

    def remember(self, question: Digest, answer: Digest) -> None:
        """Keep an answer that never changes, such as what a COPY --from selects in a chain of layers."""
        with self._index.write() as connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (question, answer))

    def recall(self, question: Digest) -> Digest | None:
        """The answer to a question that was answered before."""
        rows = self._index.read("SELECT answer FROM answers WHERE question = ?", question)
        return Digest(rows[0][0]) if rows else None

    def digests(self) -> list[Digest]:
        """What is kept."""
        with explained(self._directory):
            return [Digest("sha256:" + path.name) for path in self._directory.iterdir()]

    def size(self, digest: Digest) -> int:
        """Bytes on disk, 0 if it is not there."""
        with suppress(FileNotFoundError):
            return self._path(digest).stat().st_size
        return 0

    def delete(self, digest: Digest) -> None:
        """Forget a list and the answers that name it. Nothing happens if it is not there."""
        path = self._path(digest)
        with self._index.write() as connection:
            connection.execute("DELETE FROM answers WHERE answer = ?", (digest,))
        with explained(path), suppress(FileNotFoundError):
            path.unlink()

    def _path(self, digest: Digest) -> Path:
        return self._directory / parse_digest(digest)[7:]


def _to_columns(records: Sequence[FileRecord]) -> _Columns:
    owned = any(record.uid or record.gid for record in records)
    return _Columns(
        len(records),
        to_blob("\0".join([record.path for record in records])),
        bytes([_CODES[record.kind] for record in records]),
        [record.mode for record in records],
        [record.size for record in records],
        bytes([bool(record.content) for record in records]),
        bytes.fromhex("".join([record.content for record in records])),
        to_blob("\0".join([record.target for record in records])),
        [(record.uid, record.gid) for record in records] if owned else None,
        {
            number: tuple((to_blob(name), data) for name, data in record.xattrs)
            for number, record in enumerate(records)
            if record.xattrs
        },
    )


def _from_columns(columns: _Columns) -> Iterable[FileRecord]:
    if not columns.count:
        return
    paths = _split(columns.paths)
    targets = _split(columns.targets)
    contents = columns.contents.hex()
    position = 0
    for number in range(columns.count):
        content = ""
        if columns.has_content[number]:
            content = contents[position : position + 64]
            position += 64
        uid, gid = columns.owners[number] if columns.owners else (0, 0)
        xattrs = columns.xattrs.get(number, ())
        yield FileRecord(
            paths[number],
            _KINDS[columns.kinds[number]],
            columns.modes[number],
            columns.sizes[number],
            content,
            targets[number],
            uid,
            gid,
            tuple((name.decode("utf-8", "surrogateescape"), data) for name, data in xattrs),
        )


def _split(joined: bytes) -> list[str]:
    return joined.decode("utf-8", "surrogateescape").split("\0")
