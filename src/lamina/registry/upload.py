"""Sending one blob: in one piece if that works, in chunks that can be resumed where it does not.

In one piece is what every registry accepts. Chunks serve where a proxy refuses large bodies (413) or where the
connection broke, because only then a registry can say how far it got (distribution-spec, "Pushing a blob in chunks").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import quote

from lamina.oci.descriptor import Descriptor
from lamina.registry.failures import TransportError, malformed
from lamina.registry.session import Session, failure
from lamina.registry.settings import Endpoint
from lamina.registry.transport import Answer, resolve_location

#: Bytes a chunk. Below the limits of the proxies that refuse large bodies (Cloudflare's is 100 MB).
CHUNK_BYTES = 32 << 20
_PIECE = 1 << 18
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)\Z")
_PASSING = frozenset({500, 502, 503, 504, 408, 429})


class BlobUpload:
    """One blob on its way. Methods raise TransportError for a broken connection, BuildFailure for a refusal."""

    def __init__(self, session: Session, place: Endpoint, repository: str, scopes: tuple[str, ...], what: str) -> None:
        self._session = session
        self._place = place
        self._repository = repository
        self._scopes = scopes
        self._what = what

    def run(
        self,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        progress: Callable[[int], None],
        mount_from: str | None = None,
    ) -> bool:
        """Upload and close; False if the registry mounted the blob. After a failure that may pass, go on in chunks."""
        location = self._start(f"?mount={descriptor.digest}&from={quote(mount_from, safe='')}" if mount_from else "")
        if location is None:
            return False
        with open_blob() as stream:
            try:
                answer = self._whole(location, descriptor, stream, progress)
            except TransportError:
                answer = None
        if answer is None or answer.status in (413, *_PASSING):
            if answer is not None:
                answer.discard()
            with open_blob() as stream:
                answer = self._chunked(descriptor, stream, progress)
        if answer.status not in (201, 202, 204):
            raise failure(self._place, self._what, answer)
        answer.discard()
        return True

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
        return self._send("PUT", _closing(location, descriptor), headers, piece)

    def _chunked(self, descriptor: Descriptor, stream: BinaryIO, progress: Callable[[int], None]) -> Answer:
        location, offset, failed, restarted = self._fresh(), 0, 0, False
        while offset < descriptor.size:
            size = min(CHUNK_BYTES, descriptor.size - offset)
            stream.seek(offset)
            try:
                moved, reached = self._chunk(location, Piece(stream, size, progress, offset), offset, size)
            except TransportError:
                failed += 1
                if failed >= self._session.settings.attempts:
                    raise
                state = self._status(location)
                if state is None and restarted:
                    raise
                restarted = restarted or state is None
                moved, reached = state or (self._fresh(), 0)
            else:
                failed = 0 if reached > offset else failed + 1
            if reached > descriptor.size or (reached <= offset and failed >= self._session.settings.attempts):
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
            raise TransportError("cut", f"HTTP {answer.status}")
        if answer.status not in (201, 202, 204):
            raise failure(self._place, self._what, answer)
        answer.discard()
        return self._location(answer), _reached(answer, offset + size)

    def _status(self, location: str) -> tuple[str, int] | None:
        """How far an interrupted upload got, as the registry sees it; None if it has forgotten about it."""
        answer = self._send("GET", location)
        if answer.status == 404:
            answer.discard()
            return None
        if answer.status not in (202, 204):
            raise failure(self._place, self._what, answer)
        answer.discard()
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
