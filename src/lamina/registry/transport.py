"""HTTP to registries: pooled connections, bounded time, retries, redirects that do not leak credentials.

Nothing else in the room knows the HTTP library. An `Answer` is open until it is read to its end or closed.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Protocol, cast, runtime_checkable
from urllib.parse import urljoin, urlsplit

from lamina.diagnostics import BuildFailure
from lamina.registry.failures import TransportError
from lamina.registry.proxies import proxy_for
from lamina.registry.settings import RegistrySettings
from lamina.registry.wires import Wires

if TYPE_CHECKING:
    import ssl

    import urllib3

#: Bytes given on at a time: enough for hashing at nearly full speed, few enough to lose little when a read is cut.
CHUNK = 1 << 18
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_MAX_REDIRECTS = 5
#: What the standard library says when a proxy makes no tunnel.
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_LOGIN = {"407": ", it wants another login (in the proxy's address: http://user:password@host)"}


@runtime_checkable
class Body(Protocol):
    """A request's body that is read while it is sent."""

    def read(self, amount: int = -1, /) -> bytes: ...
    def rewind(self) -> None: ...


class Answer:
    """A response whose body is still to be read. `url` is where it came from, after redirects."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def length(self) -> int | None:
        """The body's announced length in bytes, None if it was not announced or is no number."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def retry_after(self) -> float | None:
        """Seconds until it may be asked again, None if the registry does not say."""
        return seconds_until(self.headers.get("Retry-After"), self.headers.get("Date"))

    def chunks(self) -> Iterator[bytes]:
        """The body as it was sent, `CHUNK` bytes at most at a time. Raises TransportError if it is cut short."""
        with _translated():
            for chunk in self._response.stream(CHUNK, decode_content=False):
                if chunk:
                    yield chunk

    def body(self, limit: int) -> bytes:
        """The whole body, or its first `limit` + 1 bytes if it is longer. Raises TransportError."""
        parts: list[bytes] = []
        size = 0
        for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                self.close()
                break
        return b"".join(parts)[: limit + 1]

    def close(self) -> None:
        """Give up the rest of the body: a connection with unread bytes cannot serve another request."""
        self._response.close()
        self._response.release_conn()

    def discard(self) -> None:
        """Read a short rest, so that the connection can be used again; close over a long or broken one."""
        try:
            self.body(1 << 16)
        except TransportError:
            self.close()


class Transport:
    """A pool of connections. Safe to use from several threads."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._wires = Wires()
        self._pools: dict[tuple[str | None, tuple[str, str] | None], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        attempts: int | None = None,
    ) -> Answer:
        """One request, repeated while the trouble looks passing; redirects of GET and HEAD are followed.

        Returns the last answer whatever its status. Raises TransportError if there was none. A body that is a stream
        is sent once only: the caller repeats with a fresh one.
        """
        self._wires.check()
        tries = (attempts or self._settings.attempts) if not isinstance(body, Body) else 1
        give_up = time.monotonic() + self._settings.retry_seconds
        for attempt in range(1, tries + 1):
            try:
                answer = self._follow(method, url, headers, body)
            except TransportError as error:
                wait = self._pause(attempt, None)
                if error.kind in ("certificate", "address") or attempt == tries or time.monotonic() + wait > give_up:
                    raise
            else:
                wait = self._pause(attempt, answer.retry_after)
                passing = answer.status in _PASSING and attempt < tries and time.monotonic() + wait <= give_up
                if not passing:
                    return answer
                answer.discard()
            self._wires.sleep(wait)
            self._wires.check()
        raise AssertionError("the last attempt returns or raises")

    def pause(self, attempt: int, retry_after: float | None) -> bool:
        """Wait as before attempt `attempt` + 1; False, at once, if that would be longer than is ever waited."""
        wait = self._pause(attempt, retry_after)
        if wait <= self._settings.retry_seconds:
            self._wires.sleep(wait)
        return wait <= self._settings.retry_seconds

    def _pause(self, attempt: int, asked: float | None) -> float:
        """Seconds to wait: what the registry asks for, else exponential back-off with full jitter above a floor."""
        if asked is not None:
            return asked
        ceiling = self._settings.backoff_seconds * 2.0 ** (attempt - 1)
        return random.uniform(ceiling / 2, ceiling)

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None) -> Answer:
        sent = dict(headers)
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._once(method, url, sent, body)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or location is None or method not in ("GET", "HEAD"):
                return answer
            answer.discard()
            target = resolve_location(url, location)
            if origin(target) != origin(url):
                # Credentials belong to the registry; a storage host must not see them (and rejects them, at that).
                sent.pop("Authorization", None)
            url = target
        raise TransportError("address", f"more than {_MAX_REDIRECTS} redirects")

    def _once(self, method: str, url: str, headers: dict[str, str], body: bytes | Body | None) -> Answer:
        fields = {
            "User-Agent": f"lamina/{self._settings.version}",
            # Digests are of the bytes as stored; a compressing proxy would only cost time.
            "Accept-Encoding": "identity",
            **headers,
        }
        # The library asks a body for `read` alone, though its types ask for all of IO.
        sent = cast("bytes | IO[bytes] | None", body)
        with _translated():
            response = self._manager(url).request(
                method, url, headers=fields, body=sent, redirect=False, retries=False, preload_content=False
            )
        return Answer(response, url)

    def _manager(self, url: str) -> urllib3.PoolManager:
        """The connections that share an authority and a proxy."""
        authority = self._settings.authorities.get(urlsplit(url).netloc)
        proxy = proxy_for(self._settings.proxies, url)
        with self._lock:
            if (authority, proxy) not in self._pools:
                self._pools[authority, proxy] = self._made(authority, proxy)
            return self._pools[authority, proxy]

    def _made(self, authority: str | None, proxy: tuple[str, str] | None) -> urllib3.PoolManager:
        import urllib3

        timeout = urllib3.Timeout(connect=self._settings.connect_seconds, read=self._settings.read_seconds)
        options: dict[str, Any] = {"num_pools": 16, "maxsize": 8, "timeout": timeout, "blocksize": CHUNK}
        if authority is None:
            options["ca_certs"] = self._settings.ca_bundle
        else:
            options["ssl_context"] = trusting(authority, self._settings.ca_bundle)
        if proxy is None:
            made = urllib3.PoolManager(**options)
        else:
            headers = {"Proxy-Authorization": proxy[1]} if proxy[1] else None
            made = urllib3.ProxyManager(proxy[0], proxy_headers=headers, **options)
        made.pool_classes_by_scheme = self._wires.pool_classes()
        return made


def trusting(authority: str, bundle: str | None) -> ssl.SSLContext:
    """Trust in the authorities of a PEM file, beside the system's or those of `bundle`. Raises BuildFailure
    `registry-bad-config`."""
    import ssl

    context = ssl.create_default_context(cafile=bundle)
    try:
        context.load_verify_locations(authority)
    except OSError as error:  # ssl.SSLError is one
        cause = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise BuildFailure(
            "registry-bad-config", f"cannot use the certificates in {authority}", cause=cause, hint="mend `ca`"
        ) from error
    return context


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: what credentials are bound to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def resolve_location(url: str, location: str) -> str:
    """The absolute form of a `Location` that came with `url`. Raises TransportError for one that is not followed.

    A registry behind a TLS proxy often names itself with http; on its own host that is mended to https. Another host
    without TLS is refused, except from a registry that is itself spoken to in plain HTTP.
    """
    try:
        target = urlsplit(urljoin(url, location))
        here = urlsplit(url)
        target_host, _ = target.hostname, target.port
    except ValueError as error:
        raise TransportError("address", "unreadable Location") from error
    if target.scheme not in ("http", "https") or not target_host or target.username is not None:
        raise TransportError("address", f"Location of scheme {target.scheme[:20]!r}")
    if here.scheme == "https" and target.scheme == "http":
        if target_host != here.hostname:
            raise TransportError("address", f"Location leads from https to http at {target_host}")
        return target._replace(scheme="https", netloc=here.netloc).geturl()
    return target.geturl()


def seconds_until(retry_after: str | None, date: str | None) -> float | None:
    """Retry-After in seconds (RFC 9110, 10.2.3: a number or a date); None if there is none that can be read. A date is
    compared with the server's own clock where it tells it (`Date`): ours may be years off."""
    if not retry_after:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    then, now = _moment(retry_after), _moment(date)
    return None if then is None else max(0.0, then - (time.time() if now is None else now))


def _moment(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """The HTTP library's exceptions as TransportError; addresses stay out of the text, for they may carry secrets."""
    from urllib3 import exceptions as http

    try:
        yield
    except http.ProxyError as error:
        refused = _TUNNEL.search(str(error.original_error))
        why = f"HTTP {refused[1]}{_LOGIN.get(refused[1], '')}" if refused else _brief(error.original_error)
        raise TransportError("unreachable", f"the proxy: {why}") from error
    except http.SSLError as error:
        untrusted = any(sign in str(error) for sign in ("CERTIFICATE_VERIFY", "WRONG_VERSION", "Hostname mismatch"))
        raise TransportError("certificate" if untrusted else "cut", _brief(error)) from error
    except http.NameResolutionError as error:
        raise TransportError("unreachable", "the name cannot be resolved") from error
    except http.NewConnectionError as error:
        raise TransportError("unreachable", _brief(error)) from error
    except http.TimeoutError as error:
        # After the two above: this library version counts them among the time-outs.
        raise TransportError("timeout", _brief(error)) from error
    except (http.LocationValueError, UnicodeError) as error:
        raise TransportError("address", "unreadable address") from error
    except (http.HTTPError, OSError) as error:
        raise TransportError("cut", _brief(error)) from error


def _brief(error: BaseException) -> str:
    """The innermost reason, without object addresses, hosts or URLs."""
    inner = error.__cause__ or error.__context__
    if "WRONG_VERSION" in str(error):
        return "it does not speak TLS"
    if "CERTIFICATE_VERIFY" in str(error):
        return str(getattr(inner, "verify_message", "")) or "certificate verify failed"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    match type(error).__name__:
        case "ReadTimeoutError":
            return "no data within the time limit"
        case "ConnectTimeoutError":
            return "no connection within the time limit"
        case "IncompleteRead":
            return "the answer ended too early"
    return "the connection was closed"
