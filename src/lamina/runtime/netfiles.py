"""The /etc/hosts and /etc/resolv.conf that a step sees: read-only mounts, so that no edit gets into a layer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_HOSTS = """\
127.0.0.1\tlocalhost {hostname}
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def write(folder: Path, hostname: str, extra: Iterable[tuple[str, str]] = ()) -> dict[str, Path]:
    """Write both files into `folder`; returns target → file. Name servers are the machine's own; `extra` are more
    hosts, as (name, address)."""
    hosts, resolver = folder / "hosts", folder / "resolv.conf"
    more = "".join(f"{address}\t{name}\n" for name, address in extra)
    hosts.write_text(_HOSTS.format(hostname=hostname) + more)
    host_resolver = Path("/etc/resolv.conf")
    resolver.write_bytes(host_resolver.read_bytes() if host_resolver.is_file() else b"")
    for file in (hosts, resolver):
        file.chmod(0o644)
    return {"/etc/hosts": hosts, "/etc/resolv.conf": resolver}
