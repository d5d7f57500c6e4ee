"""What a place of a shared cache holds: every document as far as it can be read, and every blob."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct
from msgspec.structs import replace

from lamina.digest import Digest
from lamina.registry.cachestore import CacheStore, Held, HeldBlob
from lamina.sharing import documents
from lamina.sharing.documents import Entry, key_name

#: When the place was last cleared away: the time, under the name of a document that no key has.
MARKER = "p-" + "0" * 32
#: Documents that are read at once.
_AT_ONCE = 8


class Step(Struct, frozen=True):
    """An entry of a document: the names of its step's two documents, its result, its blobs and their sizes in bytes (of
    which the layer is `layer`), who wrote it and when (seconds since the epoch)."""

    name: str
    content: str
    result: str
    layer: Digest
    blobs: dict[Digest, int]
    writer: str
    written: float


class Known(Struct, frozen=True):
    """A document. `used` is when it was last written or marked as used (seconds since the epoch), `steps` are its
    entries. `foreign`: it seems to be of another version of lamina, and may name blobs that are not seen here; one that
    is neither that nor has steps is damaged."""

    held: Held
    used: float
    steps: tuple[Step, ...] = ()
    foreign: bool = False

    @property
    def name(self) -> str:
        return self.held.name

    @property
    def is_note(self) -> bool:
        """Whether it serves explanations alone: then it stands for its steps' lists of files, not for their layers."""
        return self.held.name.startswith("a-")

    @property
    def blobs(self) -> dict[Digest, int]:
        """The blobs that it names, and their sizes as it says."""
        return {
            digest: size
            for step in self.steps
            for digest, size in step.blobs.items()
            if not (self.is_note and digest == step.layer)
        }


class Survey(Struct, frozen=True):
    """All that is in a place; `blobs` has none if the place collects them itself (`CacheStore.collects`)."""

    documents: dict[str, Known]
    blobs: Mapping[Digest, HeldBlob]
    collects: bool

    def size_of(self, digest: Digest, said: int) -> int:
        """Bytes that a blob takes: what lies there counts, where that can be seen."""
        if self.collects:
            return said
        held = self.blobs.get(digest)
        return held.size if held is not None else 0

    def bytes_of(self, documents: Iterable[Known]) -> int:
        """Bytes that documents and the blobs that they name take, each blob once."""
        kept = tuple(documents)
        named = {digest: size for known in kept for digest, size in known.blobs.items()}
        return sum(known.held.size for known in kept) + sum(self.size_of(*one) for one in named.items())


def survey(store: CacheStore, before: Survey | None = None) -> Survey:
    """Look at a place. What `before` has in its present version is not read again. Raises BuildFailure `registry-…`."""
    documents.prepare()
    blobs = {} if before is not None else store.blobs()
    names = store.names()
    kept = {
        name: known
        for name, known in (before.documents if before is not None else {}).items()
        if names.get(name) == known.held.version
    }
    wanted = [name for name in names if name not in kept and name != MARKER]
    with ThreadPoolExecutor(_AT_ONCE, "survey") as pool:
        looked = [_known(held, store) for held in pool.map(store.look, wanted) if held is not None]
    known = {**kept, **{one.name: one for one in looked}}
    return Survey(known, before.blobs if before is not None else blobs, store.collects)


def _known(held: Held, store: CacheStore) -> Known:
    bare = replace(held, data=None)  # there may be many
    if held.data is None:
        return Known(bare, held.used)
    try:
        steps = tuple(map(_step, documents.unpack(held.data, None)))
    except ValueError:
        return Known(bare, held.used, foreign=documents.is_foreign(held.data))
    # Registries say of no manifest how old it is, so its writer is believed there.
    written = max((step.written for step in steps), default=0.0) if store.collects else 0.0
    return Known(bare, max(held.used, written), steps)


def _step(entry: Entry) -> Step:
    record = entry.record
    return Step(
        key_name(record.key.digest),
        key_name(record.content_key),
        str(record.result),
        entry.layer.digest,
        {blob.digest: max(0, blob.size) for blob in entry.blobs},
        entry.writer,
        entry.written,
    )
