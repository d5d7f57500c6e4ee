"""A file from the web (Dockerfile reference, "ADD"): streamed, verified, and asked for again with its validators."""

from __future__ import annotations

import hashlib
import os
import re
import time
from calendar import timegm
from email.utils import parsedate
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from lamina.context.downloading import Bounds, alone, without_user
from lamina.context.httpclient import Answer, Client, Trouble
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.plan.remote import shown
from lamina.plan.steps import HttpSource
from lamina.ports.sources import Fetched

_MODE = 0o600
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: What BuildKit calls a file whose address has no name; here also one with a name that no file can have.
_UNNAMED = "__unnamed__"
_MAX_NAME = 255
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})\Z")


class _Known(Struct):
    """A file that was fetched: its name (as the file system has it), digest and size, and what the server gave to ask
    for it again."""

    raw_name: bytes
    digest: str
    size: int
    etag: str = ""
    last_modified: str = ""

    @property
    def name(self) -> str:
        return os.fsdecode(self.raw_name)

    @property
    def folder(self) -> str:
        """Below the root, where the file is alone. Its name is in there as a hash, for it may be as long as can be."""
        return f"file-{self.digest.partition(':')[2]}-{_hex(self.name)[:8]}"


def download(source: HttpSource, root: Path, client: Client, bounds: Bounds) -> Fetched:
    """Have the file of an address below `root`. Raises OSError, and BuildFailure `fetch-not-found`, `fetch-failed`,
    `fetch-checksum-mismatch`, `fetch-too-large`."""
    memory = root / f"url-{_hex(source.url)}.json"
    with alone(memory.with_suffix(".lock")):
        known = _of_digest(source, root) if source.checksum else _recall(memory, root)
        if known is None or not source.checksum:
            known = _ask(source, known, root, client, bounds)
            memory.write_bytes(msgspec.json.encode(known))
        folder = root / known.folder
        os.utime(folder)
    record = FileRecord(known.name, "file", _MODE, known.size, known.digest.partition(":")[2])
    return Fetched(folder, (record,), known.digest)


def _of_digest(source: HttpSource, root: Path) -> _Known | None:
    """The file if it is there already, whatever address it came from."""
    if not _SHA256.match(source.checksum):
        return None
    known = _Known(os.fsencode(_name(source.url)), source.checksum, 0)
    try:
        known.size = (root / known.folder / known.name).stat().st_size
    except FileNotFoundError:
        return None
    return known


def _recall(memory: Path, root: Path) -> _Known | None:
    try:
        known = msgspec.json.decode(memory.read_bytes(), type=_Known)
        os.utime(memory)
        return known if (root / known.folder / known.name).stat().st_size == known.size else None
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _ask(source: HttpSource, known: _Known | None, root: Path, client: Client, bounds: Bounds) -> _Known:
    headers: dict[str, str] = {}
    if known is not None and known.etag:
        headers["If-None-Match"] = known.etag
    if known is not None and known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    pauses = list(bounds.pauses)
    while True:
        try:
            with client.get(source.url, headers) as answer:
                if answer.status == 304 and known is not None:
                    return known
                if answer.status == 200:
                    return _take(source, answer, root, bounds.max_bytes)
                if answer.status in (404, 410):
                    message = f"there is no {_shown(source)}"
                    raise BuildFailure("fetch-not-found", message, cause=f"the server says {answer.status}")
                trouble = Trouble(f"the server says {answer.status}", passing=answer.status in _PASSING)
        except Trouble as error:
            trouble = error
        if not trouble.passing or not pauses:
            raise BuildFailure(
                "fetch-failed",
                f"{_shown(source)} cannot be fetched",
                cause=trouble.cause,
                hint="check the address, the network, and the variables http_proxy, https_proxy and SSL_CERT_FILE",
            )
        time.sleep(pauses.pop(0))


def _take(source: HttpSource, answer: Answer, root: Path, max_bytes: int) -> _Known:
    """Read the body into a file of its own, which counts only when it is whole and what was asked for."""
    etag, last_modified = answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    known = _Known(os.fsencode(_name(source.url)), "", 0, etag, last_modified)
    draft = Path(mkdtemp(prefix="draft-", dir=root))
    try:
        with (draft / known.name).open("xb") as file:
            state = hashlib.sha256()
            for chunk in answer.chunks():
                known.size += len(chunk)
                if known.size > max_bytes:
                    raise BuildFailure("fetch-too-large", f"{_shown(source)} has more than {max_bytes:,} bytes")
                state.update(chunk)
                file.write(chunk)
            known.digest = f"sha256:{state.hexdigest()}"
            if source.checksum not in ("", known.digest):
                raise _mismatch(source, known.digest)
            os.fchmod(file.fileno(), _MODE)
            file.flush()
            # No index row says in which boot this was written, so a power loss must not take it.
            os.fsync(file.fileno())
        os.utime(draft / known.name, (_seconds(known.last_modified),) * 2)
        _publish(draft, root / known.folder)
        return known
    finally:
        (draft / known.name).unlink(missing_ok=True)
        if draft.is_dir():
            draft.rmdir()


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another address had the same file
            raise


def _mismatch(source: HttpSource, digest: str) -> BuildFailure:
    return BuildFailure(
        "fetch-checksum-mismatch",
        f"{_shown(source)} is not what --checksum says",
        cause=f"it is {digest}, and should be {source.checksum}",
        hint="if the new content is the right one, put its digest into the Dockerfile",
    )


def _name(url: str) -> str:
    """How the file is called where the destination is a directory: the last element of the address's path."""
    try:
        path = unquote(urlsplit(url).path, errors="surrogateescape")
    except ValueError:
        return _UNNAMED
    name = path.rstrip("/").rpartition("/")[2]
    impossible = name in ("", ".", "..") or "\0" in name or len(os.fsencode(name)) > _MAX_NAME
    return _UNNAMED if impossible else name


def _seconds(date: str) -> int:
    """A header's date in seconds since the epoch; the epoch itself where there is none, as in BuildKit."""
    try:
        return max(0, timegm(parsedate(date) or ()))
    except (ValueError, OverflowError):
        return 0


def _shown(source: HttpSource) -> str:
    return shown(without_user(source.url)[0])


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
