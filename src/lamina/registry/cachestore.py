"""Where a shared cache is kept: small documents by name, and blobs by digest.

A document is written last, after all blobs that it names, so a writer that dies leaves no half entry. Writers need not
know of each other: a name stands for one key, and whoever writes it writes something that will do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.oci.descriptor import Descriptor

#: The longest document that is written or read, in bytes. Real ones have some thousand.
MAX_DOCUMENT = 1 << 20
CHUNK = 1 << 18
#: Seconds after which a document that is used is marked as used once more.
REFRESHED = 86_400.0
_NAME = re.compile(r"[a-z]-[0-9a-f]{32,64}\Z")


class Held(Struct, frozen=True):
    """A document where it lies, for those who clear away. Other bytes have another `version`; `used` is when it was
    last written or marked as used, in seconds since the epoch, 0.0 where the place cannot tell; `size` in bytes. `data`
    is None if it is unreadable."""

    name: str
    version: str
    used: float
    size: int
    data: bytes | None


class HeldBlob(Struct, frozen=True):
    """A blob where it lies: its bytes, and when it was written or last relied on (seconds since the epoch)."""

    size: int
    used: float


class CacheStore(Protocol):
    """One place. All methods may be called from several threads and raise BuildFailure `registry-…` when the place does
    not do what it is asked; that it does not have something is no failure."""

    @property
    def title(self) -> str:
        """What messages call it."""

    def read(self, name: str) -> bytes | None:
        """A document, None if there is none or it is unreadable."""

    def write(self, name: str, document: bytes, blobs: Sequence[Descriptor]) -> None:
        """Put a document in the place of the one that may be there; `blobs`, which are there, must stay for it."""

    def has(self, digest: Digest) -> bool:
        """Whether a blob is there, asked by somebody who is about to name it."""

    def fetch(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """A blob's verified bytes in chunks: the last chunk is only given after digest and size were checked."""

    def send(self, blob: Descriptor, open_blob: Callable[[], BinaryIO], progress: Callable[[int], None]) -> bool:
        """Have the blob there; whether bytes had to be sent. `open_blob` gives a fresh stream of them each time."""

    def refresh(self, name: str, written: float) -> bool:
        """Mark a document that was read here as used now, unless it was written or marked within a day; whether that
        was done. `written` is what the document itself says."""

    # --- clearing away -----------------------------------------------------------------------------------------------
    @property
    def collects(self) -> bool:
        """Whether the place itself clears away blobs that no document names, and keeps those that one does."""

    def clock(self) -> float:
        """The time by the clock that `Held.used` and `HeldBlob.used` are of, where that can be found out."""

    def names(self) -> Mapping[str, str]:
        """All documents and their versions; "" where the place does not list those."""

    def look(self, name: str) -> Held | None:
        """A document and what is known of it; None if it is there no more, or is none of a shared cache."""

    def remove(self, documents: Sequence[Held]) -> None:
        """Remove documents, those that have another version now if possible not."""

    def blobs(self) -> Mapping[Digest, HeldBlob]:
        """All blobs, none where the place collects them."""

    def remove_blobs(self, digests: Sequence[Digest], before: float) -> None:
        """Remove blobs, if possible not those that somebody relied on since `before`."""


def checked_name(name: str) -> str:
    """The name, if it is one of a document: it becomes a file's name, a tag, a part of a URL. Raises ValueError."""
    if not _NAME.match(name):
        raise ValueError(f"not the name of a document: {name!r}")
    return name


def is_name(text: str) -> bool:
    """Whether something is called like a document."""
    return _NAME.match(text) is not None


def verified(blob: Descriptor, chunks: Iterable[bytes], title: str) -> Iterator[bytes]:
    """The chunks; the last is held back until size and digest were found right. Raises BuildFailure
    `registry-wrong-digest`."""
    hashed, size, held = hashlib.sha256(), 0, b""
    for chunk in chunks:
        size += len(chunk)
        if size > blob.size:
            raise _wrong(blob, title, f"more than the {blob.size} bytes that it should have")
        hashed.update(chunk)
        if held:
            yield held
        held = chunk
    found = "sha256:" + hashed.hexdigest()
    if size != blob.size or found != blob.digest:
        raise _wrong(blob, title, f"{size} bytes of digest {found}")
    if held:
        yield held


def failed(title: str, what: str, cause: str | None, hint: str | None = None) -> BuildFailure:
    """The place did not do what it was asked."""
    return BuildFailure("registry-cache-failed", f"the shared cache {title} cannot {what}", cause=cause, hint=hint)


def _wrong(blob: Descriptor, title: str, found: str) -> BuildFailure:
    return BuildFailure(
        "registry-wrong-digest",
        f"the shared cache {title} has other bytes for blob {blob.digest[:19]} than its digest says",
        cause=f"found {found}",
        hint="the step is built instead",
    )
