"""File facts: the list of file records behind a tree digest, kept with every key so that keys can be compared by file.

10,000 files are some 330 kB, nearly all of it their content digests, which nothing compresses; so a list that resembles
one that is kept is kept as a difference to it, 150 bytes for one changed file. A difference is always to a whole list,
which garbage collection keeps with it (`closure`). A damaged list is as good as none and is written again, and so is a
difference to a list that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, parse_digest
from lamina.keys.filetree import FileRecord
from lamina.store import columns, packed
from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import Layout
from lamina.store.session import Session

#: A difference is kept if it is at most this part of the whole.
_SHARE = 4


class Facts:
    """A `ports.FactStore` on disk: lists of file records by tree digest, and remembered answers."""

    def __init__(self, layout: Layout, session: Session, index: Index) -> None:
        self._directory = layout.facts
        self._session = session
        self._index = index

    def put(self, digest: Digest, records: Sequence[FileRecord], like: Digest | None = None) -> None:
        """Keep `records` under their tree digest, unless they are kept already. Raises BuildFailure.

        `like` names a list that they probably resemble, kept or not, itself a difference or not.
        """
        path = self._path(digest)
        if self._is_kept(digest):
            return
        data = self._packed(digest, columns.to_bytes(records), like)
        draft = self._session.fresh()
        with explained(path, len(data)):
            draft.write_bytes(data)
            draft.rename(path)

    def get(self, digest: Digest) -> tuple[FileRecord, ...] | None:
        """The records of a tree digest, None if they are not there (any more)."""
        raw = self._raw(digest)
        if raw is None:
            return None
        try:
            return columns.from_bytes(raw)
        except ValueError:
            self._drop(digest)
            return None

    def needs(self, digest: Digest) -> Digest | None:
        """The list that this one is kept as a difference to; None if it is whole, or not there."""
        return packed.needs(self._read(digest, packed.HEAD) or b"")

    def closure(self, digests: Iterable[Digest]) -> set[Digest]:
        """These lists and those that they are differences to, which must stay for them."""
        kept = set(digests)
        return kept | {base for base in map(self.needs, kept) if base is not None}

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

    def _packed(self, digest: Digest, raw: bytes, like: Digest | None) -> bytes:
        """The bytes of the file: a difference to `like`, or to what that is one to, if that is much smaller."""
        whole = packed.whole(raw)
        base = None if like is None else self.needs(like) or like
        base_raw = None if base is None or base == digest else self._raw_whole(base)
        if base is None or base_raw is None:
            return whole
        short = packed.difference(raw, base, base_raw)
        return short if short is not None and len(short) * _SHARE <= len(whole) else whole

    def _is_kept(self, digest: Digest) -> bool:
        head = self._read(digest, packed.HEAD)
        base = packed.needs(head or b"")
        return head is not None and (base is None or self._path(base).exists())

    def _raw(self, digest: Digest) -> bytes | None:
        """The columns of a list; None if it is not there, and what is damaged goes."""
        data = self._read(digest)
        base = packed.needs(data or b"")
        if data is None or base is None:
            return self._unpacked(digest, data)
        base_raw = self._raw_whole(base)
        if base_raw is None:
            self._drop(digest)
            return None
        return self._unpacked(digest, data, base_raw)

    def _raw_whole(self, digest: Digest) -> bytes | None:
        return self._unpacked(digest, self._read(digest)) if self.needs(digest) is None else None

    def _unpacked(self, digest: Digest, data: bytes | None, base_raw: bytes | None = None) -> bytes | None:
        if data is None:
            return None
        try:
            return packed.unpack(data, base_raw)
        except ValueError:
            self._drop(digest)
            return None

    def _drop(self, digest: Digest) -> None:
        """Damaged: gone, or at least not used, where the store can be read only."""
        with suppress(BuildFailure):
            self.delete(digest)

    def _read(self, digest: Digest, size: int = -1) -> bytes | None:
        path = self._path(digest)
        with explained(path), suppress(FileNotFoundError), path.open("rb") as file:
            return file.read(size)
        return None

    def _path(self, digest: Digest) -> Path:
        return self._directory / parse_digest(digest)[7:]
