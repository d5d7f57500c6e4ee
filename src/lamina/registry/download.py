"""A blob's bytes, verified while they stream: never more than a few chunks in memory, never a wrong byte accepted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

from lamina.diagnostics import BuildFailure
from lamina.oci.descriptor import Descriptor
from lamina.registry.failures import TransportError, malformed
from lamina.registry.transport import Answer

#: A broken download goes on as long as each attempt brings at least this many bytes.
PROGRESS = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)\Z")


class Source:
    """Where a blob's bytes come from: `open(offset)` asks for the bytes from `offset` on."""

    def __init__(self, host: str, what: str, open_at: Callable[[int], Answer], attempts: int) -> None:
        self.host = host
        self.what = what
        self.open_at = open_at
        self.attempts = attempts


def verified(source: Source, descriptor: Descriptor, first: Answer) -> Iterator[bytes]:
    """The blob's chunks; the last one is held back until size and digest have been found right.

    A connection that is cut is resumed where it ended, at most `attempts` times in a row without progress. Raises
    TransportError if that did not help, and BuildFailure `registry-truncated`, `-oversized` or `-wrong-digest`.
    """
    hashed = hashlib.sha256()
    received = 0
    held = b""
    for chunk in _resumed(source, descriptor.size, first):
        received += len(chunk)
        if received > descriptor.size:
            raise _wrong_size(source, "oversized", f"the manifest says {descriptor.size} bytes, more came")
        hashed.update(chunk)
        if held:
            yield held
        held = chunk
    if received < descriptor.size:
        raise _wrong_size(source, "truncated", f"the manifest says {descriptor.size} bytes, {received} came")
    found = "sha256:" + hashed.hexdigest()
    if found != descriptor.digest:
        raise wrong_digest(source.host, source.what, descriptor.digest, found)
    if held:
        yield held


def wrong_digest(host: str, what: str, expected: str, found: str) -> BuildFailure:
    """The bytes are not the ones that the name promises."""
    return BuildFailure(
        "registry-wrong-digest",
        f"{host} sent bytes for {what} that do not have its digest",
        cause=f"expected {expected}, got {found}",
        hint="try again; if it stays so, the registry or a proxy before it holds damaged data",
    )


def _resumed(source: Source, size: int, first: Answer) -> Iterator[bytes]:
    """Chunks from the first answer, and from further ones that start where the one before was cut."""
    answer, received, failed = first, 0, 0
    while True:
        before = received
        try:
            for chunk in _from_offset(source, answer, received, size):
                received += len(chunk)
                yield chunk
            if received >= size:
                return
            cut: TransportError | None = None
        except TransportError as error:
            cut = error
        finally:
            if received < size or answer.length is None:
                answer.close()
        failed = 1 if received - before >= PROGRESS else failed + 1
        if failed >= source.attempts:
            if cut is None:
                return
            raise cut
        answer = source.open_at(received)


def _from_offset(source: Source, answer: Answer, offset: int, size: int) -> Iterator[bytes]:
    """The answer's bytes from `offset` on, whether or not the server heeded the range."""
    if answer.status == 416:
        raise _wrong_size(source, "truncated", f"the manifest says {size} bytes, {offset} came and there are no more")
    announced = answer.length
    skip = 0
    if answer.status == 206:
        start = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
        if start is None or int(start[1]) != offset:
            raise malformed(source.host, source.what, "it sent another range than was asked for")
        announced = None if announced is None else announced + offset
    elif offset:
        skip = offset
    if announced is not None and announced > size:
        raise _wrong_size(source, "oversized", f"the manifest says {size} bytes, the registry {announced}")
    for chunk in answer.chunks():
        if skip >= len(chunk):
            skip -= len(chunk)
            continue
        yield chunk[skip:] if skip else chunk
        skip = 0


def _wrong_size(source: Source, kind: str, cause: str) -> BuildFailure:
    return BuildFailure(
        f"registry-{kind}",
        f"{source.host} sent {'too few' if kind == 'truncated' else 'too many'} bytes for {source.what}",
        cause=cause,
        hint="try again; if it stays so, the registry or a proxy before it holds damaged data",
    )
