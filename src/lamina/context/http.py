"""A file from the web (Dockerfile reference, "ADD"): streamed, verified, and asked for again with its validators."""

from __future__ import annotations

import errno
import hashlib
import os
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import urllib3
from msgspec import Struct
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError
from urllib3.util import Timeout, make_headers, parse_url

from lamina.context.fetch import alone
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.plan.remote import shown
from lamina.plan.steps import HttpSource
from lamina.ports import Fetched, Limits

_MODE = 0o600
_CHUNK = 1 << 18
#: Waits before each further attempt, in seconds.
_PAUSES = (0.3, 1.0, 3.0)
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: What BuildKit calls a file whose address has no name.
_UNNAMED = "__unnamed__"


class _Known(Struct):
    """What was fetched of an address the last time. `folder` is the download, `name` the file in it."""

    folder: str
    name: str
    digest: str
    size: int
    etag: str = ""
    last_modified: str = ""


def download(source: HttpSource, root: Path, agent: str, environ: Mapping[str, str]) -> Fetched:
    """Have the file of an address below `root`. Raises BuildFailure `fetch-not-found`, `fetch-failed`,
    `fetch-checksum-mismatch`, `fetch-too-large`, `store-full`."""
    memory = root / f"url-{_hex(source.url)}.json"
    with alone(memory.with_suffix(".lock")):
        known = _recall(memory, root)
        if known is not None and known.digest == source.checksum:
            return _found(known, root)
        try:
            known = _ask(source, known, root, agent, environ)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BuildFailure(
                    "store-full", f"no room for {shown(source.url)}", hint="make room with `lamina cache prune`"
                ) from error
            raise
        memory.write_bytes(msgspec.json.encode(known))
        return _found(known, root)


def _ask(source: HttpSource, known: _Known | None, root: Path, agent: str, environ: Mapping[str, str]) -> _Known:
    headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
    if known is not None and source.checksum in ("", known.digest):
        if known.etag:
            headers["If-None-Match"] = known.etag
        if known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
    failure: BuildFailure | None = None
    for pause in (0.0, *_PAUSES):
        time.sleep(pause)
        try:
            return _attempt(source, known, headers, root, environ)
        except _Passing as passing:
            failure = passing.failure
    assert failure is not None
    raise failure


class _Passing(Exception):
    """A failure that may be gone at the next attempt."""

    def __init__(self, failure: BuildFailure) -> None:
        super().__init__()
        self.failure = failure


def _attempt(
    source: HttpSource, known: _Known | None, headers: dict[str, str], root: Path, environ: Mapping[str, str]
) -> _Known:
    url = parse_url(source.url)
    if url.auth:
        headers = {**headers, **make_headers(basic_auth=url.auth)}
    plain = url._replace(auth=None, fragment=None).url
    try:
        answer = _pool(plain, environ).request(
            "GET", plain, headers=headers, preload_content=False, retries=False, redirect=False
        )
        answer = _followed(answer, plain, headers, environ)
        try:
            if answer.status == 304 and known is not None:
                return known
            _check_status(source, answer.status)
            return _take(source, answer, root)
        finally:
            answer.release_conn()
    except (HTTPError, ssl.SSLError) as error:
        failure = BuildFailure(
            "fetch-failed",
            f"{shown(source.url)} cannot be fetched",
            cause=_cause(error),
            hint="check the address, the network, and the proxy variables",
        )
        if isinstance(error, SSLError | ssl.SSLError):
            raise failure from None
        raise _Passing(failure) from None


def _followed(
    answer: urllib3.BaseHTTPResponse, url: str, headers: dict[str, str], environ: Mapping[str, str]
) -> urllib3.BaseHTTPResponse:
    """Follow redirects; credentials do not go along to another host."""
    for _ in range(10):
        target = answer.get_redirect_location()
        if not target:
            return answer
        answer.drain_conn()
        following = parse_url(target if "://" in target else _joined(url, target))
        if following.host != parse_url(url).host:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        url = following.url
        answer = _pool(url, environ).request(
            "GET", url, headers=headers, preload_content=False, retries=False, redirect=False
        )
    raise HTTPError("it leads from one address to another without end")


def _joined(base: str, target: str) -> str:
    from urllib.parse import urljoin

    return urljoin(base, target)


def _pool(url: str, environ: Mapping[str, str]) -> urllib3.PoolManager:
    timeout = Timeout(connect=15, read=60)
    context = ssl.create_default_context(cafile=environ.get("SSL_CERT_FILE") or None)
    scheme = url.partition(":")[0]
    proxy = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
    if proxy and not _without_proxy(url, environ):
        return urllib3.ProxyManager(proxy, timeout=timeout, ssl_context=context)
    return urllib3.PoolManager(timeout=timeout, ssl_context=context)


def _without_proxy(url: str, environ: Mapping[str, str]) -> bool:
    from urllib.request import proxy_bypass_environment

    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return bool(proxy_bypass_environment(parse_url(url).netloc or "", {"no": listed}))


def _check_status(source: HttpSource, status: int) -> None:
    if status == 200:
        return
    if status in (404, 410):
        raise BuildFailure("fetch-not-found", f"there is no {shown(source.url)}", cause=f"the server says {status}")
    hint = "the address needs a login" if status in (401, 403) else None
    failure = BuildFailure(
        "fetch-failed", f"{shown(source.url)} cannot be fetched", cause=f"the server says {status}", hint=hint
    )
    raise _Passing(failure) if status in _PASSING else failure


def _take(source: HttpSource, answer: urllib3.BaseHTTPResponse, root: Path) -> _Known:
    """Read the body into a file of its own, which counts only when it is whole and what was asked for."""
    name, limit = _name(source.url), Limits().max_layer_bytes
    draft = Path(mkdtemp(prefix="draft-", dir=root))
    state, size = hashlib.sha256(), 0
    try:
        with (draft / name).open("xb") as file:
            for chunk in answer.stream(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise BuildFailure("fetch-too-large", f"{shown(source.url)} has more than {limit} bytes")
                state.update(chunk)
                file.write(chunk)
        expected = answer.headers.get("Content-Length", "")
        if expected.isdecimal() and int(expected) != size:
            raise HTTPError(f"{size} of {expected} bytes came")
        digest = f"sha256:{state.hexdigest()}"
        if source.checksum not in ("", digest):
            raise BuildFailure(
                "fetch-checksum-mismatch",
                f"{shown(source.url)} is not what --checksum says",
                cause=f"it is {digest}, and should be {source.checksum}",
                hint="if the new content is the right one, put its digest into the Dockerfile",
            )
        modified = answer.headers.get("Last-Modified", "")
        (draft / name).chmod(_MODE)
        os.utime(draft / name, (_seconds(modified),) * 2)
        folder = root / f"file-{state.hexdigest()}-{_hex(name)[:8]}"
        if not folder.is_dir():
            draft.rename(folder)
        return _Known(folder.name, name, digest, size, answer.headers.get("ETag", ""), modified)
    finally:
        if draft.is_dir():
            (draft / name).unlink(missing_ok=True)
            draft.rmdir()


def _found(known: _Known, root: Path) -> Fetched:
    folder = root / known.folder
    os.utime(folder)
    record = FileRecord(known.name, "file", _MODE, known.size, known.digest.partition(":")[2])
    return Fetched(folder, (record,), known.digest)


def _recall(memory: Path, root: Path) -> _Known | None:
    try:
        known = msgspec.json.decode(memory.read_bytes(), type=_Known)
        os.utime(memory)
        return known if (root / known.folder / known.name).stat().st_size == known.size else None
    except (OSError, msgspec.MsgspecError):
        return None


def _name(url: str) -> str:
    """How the file is called where the destination is a directory: the end of the address's path."""
    from urllib.parse import unquote

    name = unquote((parse_url(url).path or "").rpartition("/")[2])
    return name if name not in ("", ".", "..") and "/" not in name and "\0" not in name else _UNNAMED


def _seconds(date: str) -> float:
    """A header's date, as BuildKit has it: the epoch where there is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _cause(error: Exception) -> str:
    return str(error.reason if isinstance(error, MaxRetryError) and error.reason else error)


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
