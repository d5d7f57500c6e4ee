"""A build context that comes as a stream, on standard input or from the web: an archive, or a Dockerfile and nothing
else (`docker build -`)."""

from __future__ import annotations

import errno
import tarfile
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.image.archive import Damaged, open_archive
from lamina.image.unpacked import unpack_members
from lamina.image.upper import Upper
from lamina.ports.layers import Limits
from lamina.ports.storing import Workspace
from lamina.store.failures import from_os_error
from lamina.workshop.receiving import Rejoined

#: What compressed archives begin with: gzip, bzip2, xz, zstd.
_COMPRESSED = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_BLOCK = 512
_CHUNK = 1 << 20
#: The longest Dockerfile that is read, in bytes.
_MAX_TEXT = 8 << 20


class StreamedContext(Struct, frozen=True):
    """A context's directory; `dockerfile` is the text of a stream that was no archive, whose directory is empty."""

    directory: Path
    dockerfile: bytes | None = None


def read_context(stream: BinaryIO, into: Path, shown: str, *, limits: Limits | None = None) -> StreamedContext:
    """Read a context from `stream` into the directory `into`, which is made.

    An archive is a tar, plain or in gzip, bzip2, xz or zstd, told by its content. Names stay below `into`, whatever
    the archive tries; device nodes are passed over, owners become 0:0, modes and times are kept. This process must be
    ready to write layers (`Workshop.rung`). `shown` names the stream in messages, such as `standard input`.

    Raises BuildFailure `context-bad-archive` and `store-…` (a full disk).
    """
    head = stream.read(_BLOCK)
    whole = cast("BinaryIO", Rejoined(head, stream))
    try:
        into.mkdir(mode=0o755)
        if not _is_archive(head):
            text = whole.read(_MAX_TEXT + 1)
            while len(text) <= _MAX_TEXT and (piece := whole.read(_MAX_TEXT + 1 - len(text))):
                text += piece
            if len(text) > _MAX_TEXT:
                raise _bad(shown, f"it is no archive, and longer than a Dockerfile may be ({_MAX_TEXT} bytes)")
            return StreamedContext(into, text)
        _unpack(whole, into, limits or Limits())
    except Damaged as error:
        raise _bad(shown, str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise from_os_error(error, into) from error
        raise _bad(shown, f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    return StreamedContext(into)


def _unpack(stream: BinaryIO, into: Path, limits: Limits) -> None:
    with open_archive(stream) as archive, Upper(Workspace((), into, into, into)) as upper:
        if archive is None:
            raise Damaged("it is not a tar, or an empty one")
        unpack_members(archive, upper, "", (0, 0), limits, devices=False)
        _read_to_end(archive, limits)


def _read_to_end(archive: tarfile.TarFile, limits: Limits) -> None:
    """Read what follows the archive's end: only behind it stand the checksums of what was unpacked."""
    left = limits.max_layer_bytes
    try:
        while piece := archive.fileobj.read(_CHUNK):
            left -= len(piece)
            if left < 0:
                raise Damaged("it goes on after its end")
    except tarfile.TarError as error:
        raise Damaged(str(error)) from error


def _is_archive(head: bytes) -> bool:
    if head.startswith(_COMPRESSED) or (head and not any(head)):
        return True  # what begins with zeros is an empty tar, and no Dockerfile
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _bad(shown: str, cause: str) -> BuildFailure:
    return BuildFailure(
        "context-bad-archive",
        f"the build context from {shown} cannot be read",
        cause=cause,
        hint="send a tar (plain, or in gzip, bzip2, xz or zstd) or a Dockerfile alone",
    )
