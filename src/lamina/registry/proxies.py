"""Which proxy a request goes through: the rules of `http_proxy`, `https_proxy` and `no_proxy` as Go's clients read them
(golang.org/x/net/http/httpproxy), so that lamina and Docker take the same way."""

from __future__ import annotations

import base64
import ipaddress
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Struct


class Proxies(Struct, frozen=True):
    """The addresses of proxies by the scheme of what is asked for, and the hosts that are asked directly (`no_proxy`'s
    entries: `*`, a domain with all below it, `.domain`, an address, a network, with or without a port)."""

    http: str = ""
    https: str = ""
    direct: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the addresses, which may hold a password."""
        return "Proxies(…)"


def proxy_for(proxies: Proxies, url: str) -> tuple[str, str] | None:
    """The proxy's address and the `Proxy-Authorization` that it wants (or ""), None for none. This machine is never
    asked for through a proxy."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    written = proxies.https if parts.scheme == "https" else proxies.http
    if not written or _is_loopback(host) or any(_covers(entry, host, port) for entry in proxies.direct):
        return None
    scheme, found, rest = written.partition("://")
    user, _, address = (rest if found else written).rpartition("@")
    secret = unquote_to_bytes(user if ":" in user else f"{user}:")
    authorization = "Basic " + base64.b64encode(secret).decode() if user else ""
    return f"{scheme if found else 'http'}://{address}", authorization


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(entry: str, host: str, port: int) -> bool:
    text = entry.strip().lower()
    if text in ("", "*"):
        return text == "*"
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(text, strict=False)
    except ValueError:
        name, _, wanted = text.partition(":")
    below = name.removeprefix("*")
    return wanted in ("", str(port)) and (host == name or host.endswith(below if below[:1] == "." else f".{below}"))
