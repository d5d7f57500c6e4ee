"""Sending one blob: in one piece if that works, in chunks that can be resumed where it does not.

In one piece is what every registry accepts. Chunks serve where a proxy refuses large bodies (413) or where the
connection broke, because only then a registry can say how far it got (distribution-spec, "Pushing a blob in chunks").
A registry that takes no chunks is sent the whole once more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import quote

from lamina.diagnostics import BuildFailure
from lamina.oci.descriptor import Descriptor
from lamina.registry.failures import TransportError, malformed, refused, unanswered
from lamina.registry.session import Session, failure
from lamina.registry.settings import Endpoint
from lamina.registry.transport import Answer, resolve_location

#: Bytes a chunk. Below the limits of the proxies that refuse large bodies (Cloudflare's is 100 MB).
CHUNK_BYTES = 32 << 20
_PIECE = 1 << 18
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)\Z")
_PASSING = frozenset({500, 502, 503, 504, 408, 429})
_DONE = frozenset({201, 202, 204})
#: How registries answer to the first chunk where they take none.
_NO_CHUNKS = frozenset({400, 404, 405, 411, 501})
#: Bytes of an error's text that are looked at.
_MAX_ERROR = 1 << 16


class _Again(Exception):
    """An attempt failed in a way that may pass. `failure` is what to say if there is no other; `chunked` how to make
    the next."""

    def __init__(self, failure: BuildFailure, *, chunked: bool, retry_after: float | None = None) -> None:
        super().__init__(failure.diagnostic.message)
        self.failure = failure
        self.chunked = chunked
        self.retry_after = retry_after


class BlobUpload:
    """One blob on its way. Methods raise TransportError for a broken connection, BuildFailure for a refusal."""

    def __init__(self, session: Session, place: Endpoint, repository: str, scopes: tuple[str, ...], what: str) -> None:
        self._session = session
        self._place = place
        self._repository = repository
        self._scopes = scopes
        self._what = what

    def mount(self, descriptor: Descriptor, source: str) -> str | None:
        """Have the registry take the blob over from its repository `source`. None if it did, else the address of the
        upload that it opened instead."""
        return self._start(f"?mount={descriptor.digest}&from={quote(source, safe='')}")

    def run(
        self,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        progress: Callable[[int], None],
        location: str | None = None,
    ) -> None:
        """Upload and close; `location` is that of an upload which is open already. What may pass is tried again."""
        attempts, chunked = self._session.settings.attempts, False
        for attempt in range(1, attempts + 1):
            try:
                with open_blob() as stream:
                    if chunked:
                        answer = self._chunked(descriptor, stream, progress)
                    else:
                        answer = self._whole(location or self._fresh(), descriptor, stream, progress)
                self._closed(answer, descriptor, open_blob)
                return
            except _Again as again:
                if attempt == attempts or not self._session.pause(attempt, again.retry_after):
                    raise again.failure from None
                if self._arrived(descriptor):  # and only the answer was lost
                    return
                chunked, location = again.chunked, None

    def _closed(self, answer: Answer, descriptor: Descriptor, open_blob: Callable[[], BinaryIO]) -> None:
        """Nothing if the registry has the blob and says itself that it has this digest. Raises BuildFailure, _Again."""
        if answer.status in _DONE:
            answer.discard()
            stored = answer.headers.get("Docker-Content-Digest", descriptor.digest)
            if stored.startswith("sha256:") and stored != descriptor.digest:
                cause = f"it was sent {descriptor.digest} and says that it has {stored}"
                raise _damaged(self._place.host, self._what, cause)
            return
        body, retry_after = answer.body(_MAX_ERROR), answer.retry_after
        answer.discard()
        failure = refused(self._place.host, self._what, answer.status, body, retry_after)
        if answer.status == 400 and b"DIGEST_INVALID" in body:
            with open_blob() as stream:
                found = _digest(stream)
            if found != descriptor.digest:
                raise _not_ours(self._what, descriptor, found)
            raise _Again(_damaged(self._place.host, self._what, failure.diagnostic.cause), chunked=False)
        if answer.status in _PASSING or answer.status in (404, 413):  # 404: it has forgotten about the upload
            raise _Again(failure, chunked=True, retry_after=retry_after)
        raise failure

    def _arrived(self, descriptor: Descriptor) -> bool:
        try:
            answer = self._send("HEAD", f"/{self._repository}/blobs/{descriptor.digest}")
        except (TransportError, BuildFailure):
            return False
        answer.discard()
        return answer.status == 200

    def _start(self, query: str = "") -> str | None:
        """Open an upload session and return its address; None if the registry mounted the blob instead."""
        answer = self._send("POST", f"/{self._repository}/blobs/uploads/{query}", body=b"")
        if answer.status not in (201, 202):
            raise failure(self._place, self._what, answer)
        location = self._location(answer) if answer.status == 202 else None
        answer.discard()
        return location

    def _whole(
        self, location: str, descriptor: Descriptor, stream: BinaryIO, progress: Callable[[int], None]
    ) -> Answer:
        piece = Piece(stream, descriptor.size, progress)
        headers = {"Content-Length": str(descriptor.size), "Content-Type": "application/octet-stream"}
        try:
            return self._send("PUT", _closing(location, descriptor), headers, piece)
        except TransportError as error:
            if error.kind in ("certificate", "address"):
                raise
            raise _Again(unanswered(self._place.host, self._what, error), chunked=True) from error

    def _chunked(self, descriptor: Descriptor, stream: BinaryIO, progress: Callable[[int], None]) -> Answer:
        """Send chunk after chunk; after a broken one the registry is asked how far it got. Raises TransportError after
        as many failures in a row, or beginnings from zero, as there are attempts."""
        attempts = self._session.settings.attempts
        location, offset, failed, restarts = self._fresh(), 0, 0, 0
        while offset < descriptor.size:
            size = min(CHUNK_BYTES, descriptor.size - offset)
            stream.seek(offset)
            try:
                moved, reached = self._chunk(location, Piece(stream, size, progress, offset), offset, size)
            except TransportError as error:
                failed += 1
                if failed >= attempts or not self._session.pause(failed, error.retry_after):
                    raise
                state = self._status(location)
                if state is None:
                    restarts += 1
                    if restarts >= attempts:
                        raise
                    state = self._fresh(), 0
                moved, reached = state
            else:
                failed = 0 if reached > offset else failed + 1
            if reached > descriptor.size or (reached <= offset and failed >= attempts):
                raise malformed(self._place.host, self._what, f"it claims to hold {reached} bytes of the upload")
            location, offset = moved, reached
        return self._send("PUT", _closing(location, descriptor), {"Content-Length": "0"}, b"")

    def _fresh(self) -> str:
        location = self._start()
        if location is None:
            raise malformed(self._place.host, self._what, "it answers 201 to the start of an upload")
        return location

    def _chunk(self, location: str, piece: Piece, offset: int, size: int) -> tuple[str, int]:
        """Send one chunk; where to go on, and how many bytes the registry has now."""
        headers = {
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{offset}-{offset + size - 1}",
        }
        answer = self._send("PATCH", location, headers, piece)
        if answer.status in _PASSING or answer.status == 416:
            answer.discard()
            raise TransportError("cut", f"HTTP {answer.status}", answer.retry_after)
        if answer.status not in _DONE:
            refusal = failure(self._place, self._what, answer)
            if offset == 0 and answer.status in _NO_CHUNKS:
                raise _Again(refusal, chunked=False)
            raise refusal
        answer.discard()
        return self._location(answer), _reached(answer, offset + size)

    def _status(self, location: str) -> tuple[str, int] | None:
        """How far an interrupted upload got, as the registry sees it; None if it has forgotten about it, or given it up
        (distribution does if the cut was inside of a chunk: 400, and 404 from then on)."""
        answer = self._send("GET", location)
        answer.discard()
        if answer.status in (400, 404, 416):
            return None
        if answer.status not in (202, 204):
            raise failure(self._place, self._what, answer)
        moved = self._location(answer) if answer.headers.get("Location") else location
        return moved, _reached(answer, 0)

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("Location")
        if not location:
            raise malformed(self._place.host, self._what, "it names no place for the upload")
        return resolve_location(answer.url, location)

    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: bytes | Piece | None = None,
    ) -> Answer:
        return self._session.send(
            self._place,
            method,
            url,
            what=self._what,
            scopes=self._scopes,
            headers=headers,
            body=body,
        )


class Piece:
    """A readable part of a stream: `size` bytes from where the stream stands; tells how far reading got."""

    def __init__(self, stream: BinaryIO, size: int, progress: Callable[[int], None], start: int = 0) -> None:
        self._stream = stream
        self._size = size
        self._left = size
        self._start = start
        self._progress = progress

    def read(self, amount: int = -1) -> bytes:
        """At most `amount` bytes; b"" at the end of the part."""
        data = self._stream.read(min(_PIECE if amount < 0 else amount, self._left))
        self._left -= len(data)
        self._progress(self._start + self._size - self._left)
        return data

    def rewind(self) -> None:
        """Back to the part's first byte, for sending it again."""
        self._stream.seek(self._start)
        self._left = self._size


def _digest(stream: BinaryIO) -> str:
    hashed = hashlib.sha256()
    while piece := stream.read(_PIECE):
        hashed.update(piece)
    return "sha256:" + hashed.hexdigest()


def _not_ours(what: str, descriptor: Descriptor, found: str) -> BuildFailure:
    return BuildFailure(
        "registry-wrong-digest",
        f"{what} cannot be sent: its bytes here do not have its digest",
        cause=f"expected {descriptor.digest}, got {found}",
        hint="`lamina cache verify` finds damage; then build the image again",
    )


def _damaged(host: str, what: str, cause: str | None) -> BuildFailure:
    return BuildFailure(
        "registry-wrong-digest",
        f"{what} arrives at {host} with other bytes than were sent",
        cause=cause,
        hint="try again; if it stays so, a proxy or the network between damages data",
    )


def _closing(location: str, descriptor: Descriptor) -> str:
    return location + ("&" if "?" in location else "?") + f"digest={descriptor.digest}"


def _reached(answer: Answer, otherwise: int) -> int:
    """The count of bytes that the registry has, from its `Range` header. `0-0` stands for none as well as for one
    byte; none is the safe reading, for the registry answers 416 to a chunk that leaves a gap or repeats bytes."""
    found = _RANGE.match(answer.headers.get("Range", ""))
    if found is None:
        return otherwise
    last = int(found[1])
    return last + 1 if last else 0
