"""How to reach registries: limits, mirrors, and which of them speak plain HTTP. Values, handed in by the caller."""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from lamina.registry.proxies import Proxies


class RegistrySettings(Struct, frozen=True):
    """Everything that a user may configure about registries; nothing here is read from the environment.

    `mirrors` maps a registry (`docker.io`) to hosts that are asked first when pulling, each `[scheme://]host[:port]
    [/prefix]`. `insecure` names registries (`host[:port]`) that are spoken to in plain HTTP, as loopback ones always
    are unless `secure` names them. `ca_bundle` is a PEM file that replaces the system's authorities; `authorities` maps
    a `host[:port]` to one whose authorities count for that host as well. Seconds bound one socket operation
    (`connect_`, `read_`) or all waiting between attempts of one request (`retry_`).
    """

    mirrors: dict[str, tuple[str, ...]] = {}
    insecure: tuple[str, ...] = ()
    secure: tuple[str, ...] = ()
    ca_bundle: str | None = None
    authorities: dict[str, str] = {}
    proxies: Proxies = Proxies()
    version: str = "0"
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    attempts: int = 5
    retry_seconds: float = 60.0
    backoff_seconds: float = 0.5


class Endpoint(Struct, frozen=True):
    """One place that serves a registry's repositories. `base` ends in `/v2` or in a mirror's prefix below it."""

    registry: str
    host: str
    base: str
    mirror: bool = False


def endpoint(settings: RegistrySettings, registry: str) -> Endpoint:
    """The registry itself. Docker Hub's API lives under another name than its images."""
    host = "registry-1.docker.io" if registry == "docker.io" else registry
    return Endpoint(registry, host, f"{scheme(settings, host)}://{host}/v2")


def endpoints(settings: RegistrySettings, registry: str) -> tuple[Endpoint, ...]:
    """Where to pull from, in order: the mirrors, then the registry itself."""
    mirrors = (_mirror(settings, registry, text) for text in settings.mirrors.get(registry, ()))
    return (*mirrors, endpoint(settings, registry))


def scheme(settings: RegistrySettings, host: str) -> str:
    """`http` or `https` for a `host[:port]`. Plain HTTP on loopback is Docker's habit: nobody can listen in there."""
    if host in settings.secure or host in settings.authorities:
        return "https"
    return "http" if host in settings.insecure or is_loopback(host) else "https"


def is_loopback(host: str) -> bool:
    """Whether a `host[:port]` is `localhost`, in 127.0.0.0/8, or `[::1]`; names are not resolved."""
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _mirror(settings: RegistrySettings, registry: str, text: str) -> Endpoint:
    written, found, rest = text.partition("://")
    if not found:
        written, rest = "", text
    host, _, prefix = rest.strip("/").partition("/")
    base = f"{written or scheme(settings, host)}://{host}/v2"
    return Endpoint(registry, host, f"{base}/{prefix}" if prefix else base, mirror=True)
