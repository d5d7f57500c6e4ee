"""GET over HTTP with the caller's proxies and certificates, and redirects that take no password to another host.

Nothing else in the room knows the HTTP library. No address enters a `Trouble`, for it may carry secrets.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import urllib3
from urllib3 import exceptions as http

from lamina.context.downloading import Bounds, without_user

#: Bytes given on at a time.
_CHUNK = 1 << 18
_MAX_REDIRECTS = 10


class Trouble(Exception):
    """A request without a usable answer; `passing` if the next attempt may have one."""

    def __init__(self, cause: str, *, passing: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.passing = passing


class Answer:
    """A response whose body is still to be read. `headers` ignores case."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def chunks(self) -> Iterator[bytes]:
        """The body. A compressed one is unpacked if it is gzip, as Go's client (BuildKit's) does even if not asked."""
        packed = self.headers.get("Content-Encoding", "").lower() == "gzip"
        yield from self._response.stream(_CHUNK, decode_content=packed)


class Client:
    """`environ` is the caller's: `http_proxy`, `https_proxy`, `no_proxy` in either case, and `SSL_CERT_FILE`."""

    def __init__(self, agent: str, environ: Mapping[str, str], bounds: Bounds) -> None:
        self._headers = {"User-Agent": agent, "Accept-Encoding": "identity"}
        self._environ = environ
        self._timeout = urllib3.Timeout(connect=bounds.connect_seconds, read=bounds.idle_seconds)

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """The answer after redirects, whatever its status; closed when the block ends. Raises Trouble, in the block
        too, when reading the body fails."""
        try:
            response = self._followed(url, {**self._headers, **headers})
            try:
                yield Answer(response)
            finally:
                response.close()
        except http.HTTPError as error:
            lasting = isinstance(error, http.LocationValueError | http.SSLError | http.DecodeError)
            raise Trouble(_cause(error), passing=not lasting) from error

    def _followed(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        before = url
        for _ in range(_MAX_REDIRECTS + 1):
            plain, user = without_user(url.partition("#")[0])
            if _origin(plain) != _origin(before):
                headers.pop("Authorization", None)
            if user:
                headers["Authorization"] = _basic(user)
            response = self._manager(plain).request(
                "GET", plain, headers=headers, preload_content=False, retries=False, redirect=False
            )
            target = response.get_redirect_location()
            if not target:
                return response
            response.close()
            before, url = plain, _joined(plain, target)
        raise Trouble(f"it leads on more than {_MAX_REDIRECTS} times", passing=False)

    def _manager(self, url: str) -> urllib3.PoolManager:
        authorities = self._environ.get("SSL_CERT_FILE") or None
        proxy = self._proxy(url)
        if not proxy:
            return urllib3.PoolManager(timeout=self._timeout, ca_certs=authorities)
        address, user = without_user(proxy if "://" in proxy else f"http://{proxy}")
        headers = {"Proxy-Authorization": _basic(user)} if user else None
        return urllib3.ProxyManager(address, timeout=self._timeout, ca_certs=authorities, proxy_headers=headers)

    def _proxy(self, url: str) -> str:
        scheme, host, port = _origin(url)
        proxy = self._variable(f"{scheme}_proxy")
        if not proxy or _is_loopback(host):
            return ""
        excepted = (entry.strip().lower() for entry in self._variable("no_proxy").split(","))
        return "" if any(_covers(entry, host, port) for entry in excepted if entry) else proxy

    def _variable(self, name: str) -> str:
        return self._environ.get(name) or self._environ.get(name.upper()) or ""


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, which a password is for. Raises LocationParseError."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise http.LocationParseError(url) from error


def _joined(base: str, target: str) -> str:
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise http.LocationParseError(target) from error


def _is_loopback(host: str) -> bool:
    """This machine is never asked for through a proxy, as in Go's client."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of `no_proxy` covers a host: `*`, a domain with all below it, `.domain`, an address, a network,
    with or without a port (golang.org/x/net/http/httpproxy)."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        name, _, wanted = entry.partition(":")
    below = name.removeprefix("*")
    return wanted in ("", str(port)) and (host == name or host.endswith(below if below[:1] == "." else f".{below}"))


def _basic(user: str) -> str:
    plain = unquote_to_bytes(user if ":" in user else f"{user}:")
    return "Basic " + base64.b64encode(plain).decode()


def _cause(error: http.HTTPError) -> str:
    inner = error.__cause__ or error.__context__
    match error:
        case http.ProxyError(original_error=original) if isinstance(original, http.HTTPError):
            return f"the proxy: {_cause(original)}"
        case http.LocationValueError():
            return "the address cannot be read, or is not one of http or https"
        case http.NameResolutionError():
            return "the name cannot be resolved"
        case http.SSLError():
            return str(getattr(inner, "verify_message", "")) or getattr(inner, "strerror", None) or str(error)
        case http.ReadTimeoutError():
            return "no data within the time limit"
        case http.DecodeError():
            return "its compressed body is damaged"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return "no connection within the time limit" if isinstance(error, http.TimeoutError) else "the connection was cut"
