"""Observations on disk: what observed steps looked at, one file each, named after its content.

Column by column, as `columns` does with lists of files: the paths joined, behind them which kinds of look each path
had, and the answers, which nothing compresses. 50,000 looks take some 1 MB, of which 800 kB are answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of, parse_digest
from lamina.keys.looks import ANSWER, Look, LookKind, Observations, SeenLayer
from lamina.store import packed
from lamina.store.codec import to_blob
from lamina.store.failures import explained
from lamina.store.layout import Layout
from lamina.store.session import Session

#: In the order in which looks at one path are sorted; a look's place in it is its bit.
_KINDS: tuple[LookKind, ...] = tuple(sorted(get_args(LookKind)))
_BITS = {kind: 1 << place for place, kind in enumerate(_KINDS)}
_BY_MASK = [tuple(kind for kind in _KINDS if mask & _BITS[kind]) for mask in range(1 << len(_KINDS))]


class _Columns(Struct, frozen=True, array_like=True):
    """One layer's looks. `paths` are joined by NUL, which no path holds; `kinds` is a byte a path, never 0."""

    paths: bytes
    kinds: bytes
    answers: bytes
    files: int


class KeptObservations:
    """A `ports.ObservationStore` on disk."""

    def __init__(self, layout: Layout, session: Session) -> None:
        self._directory = layout.looks
        self._session = session

    def put(self, observations: Observations) -> Digest:
        """Keep observations, unless they are kept already. Raises BuildFailure; ValueError if looks are not sorted, or
        answers missing."""
        raw = to_bytes(observations)
        digest = digest_of(raw)
        path = self._path(digest)
        if not path.exists():
            data = packed.whole(raw)
            draft = self._session.fresh()
            with explained(path, len(data)):
                self._directory.mkdir(exist_ok=True)
                draft.write_bytes(data)
                draft.rename(path)
        return digest

    def get(self, digest: Digest) -> Observations | None:
        """None if they are not there (any more). What is damaged goes, so that it is written again."""
        path = self._path(digest)
        data = None
        with explained(path), suppress(FileNotFoundError):
            data = path.read_bytes()
        if data is None:
            return None
        try:
            raw = packed.unpack(data)
            if digest_of(raw) == digest:
                return from_bytes(raw)
        except ValueError:
            pass
        with suppress(BuildFailure):  # where the store can be read only, it is at least not used
            self.delete(digest)
        return None

    def digests(self) -> list[Digest]:
        """What is kept."""
        with explained(self._directory), suppress(FileNotFoundError):
            return [Digest("sha256:" + path.name) for path in self._directory.iterdir()]
        return []

    def size(self, digest: Digest) -> int:
        """Bytes on disk, 0 if it is not there."""
        with suppress(FileNotFoundError):
            return self._path(digest).stat().st_size
        return 0

    def delete(self, digest: Digest) -> None:
        """Nothing happens if it is not there."""
        path = self._path(digest)
        with explained(path), suppress(FileNotFoundError):
            path.unlink()

    def _path(self, digest: Digest) -> Path:
        return self._directory / parse_digest(digest)[7:]


def to_bytes(observations: Observations) -> bytes:
    """The observations as MessagePack: equal ones give equal bytes.

    Raises ValueError for looks that are not sorted, that are there twice, or that have no answer.
    """
    return msgspec.msgpack.encode([_to_columns(layer) for layer in observations.seen])


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_DECODER = msgspec.msgpack.Decoder(list[_Columns])


def from_bytes(raw: bytes) -> Observations:
    """What `to_bytes` took. Raises ValueError if the bytes cannot be from there."""
    try:
        layers = _DECODER.decode(raw)
        return Observations(tuple(_from_columns(layer) for layer in layers))
    except (msgspec.MsgspecError, IndexError) as error:
        raise ValueError(f"damaged: {error}") from error


def _to_columns(layer: SeenLayer) -> _Columns:
    paths: dict[str, int] = {}
    for look in layer.looks:
        paths[look.path] = paths.get(look.path, 0) | _BITS[look.kind]
    columns = _Columns(to_blob("\0".join(paths)), bytes(paths.values()), layer.answers, layer.files)
    if list(paths) != sorted(paths) or _looks(list(paths), columns.kinds) != layer.looks:
        raise ValueError("the looks are not sorted")
    _check(layer.looks, layer.answers)
    return columns


def _from_columns(columns: _Columns) -> SeenLayer:
    paths = columns.paths.decode("utf-8", "surrogateescape").split("\0") if columns.kinds else []
    if len(paths) != len(columns.kinds):
        raise ValueError("damaged: columns of different lengths")
    looks = _looks(paths, columns.kinds)
    _check(looks, columns.answers)
    return SeenLayer(looks, columns.answers, columns.files)


def _looks(paths: Sequence[str], kinds: bytes) -> tuple[Look, ...]:
    return tuple([Look(path, kind) for path, mask in zip(paths, kinds, strict=True) for kind in _BY_MASK[mask]])


def _check(looks: Sequence[Look], answers: bytes) -> None:
    if len(answers) != len(looks) * ANSWER:
        raise ValueError("not one answer a look")
