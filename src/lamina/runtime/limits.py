"""Resource limits of a step (getrlimit(2)), by the names that Docker has for them."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamina.diagnostics import BuildFailure
from lamina.ports.running import Limit
from lamina.runtime import isolation
from lamina.runtime.namespace import Rung

#: Docker's names; prlimit(1) has options of these names, OCI runtimes want `RLIMIT_` in front and capitals.
# fmt: off
NAMES = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)
# fmt: on
_LOCKS = 10  # RLIMIT_LOCKS, which Python does not know
_UNLIMITED = 2**64 - 1


def check(limits: Sequence[Limit], rung: Rung) -> None:
    """Raises BuildFailure `runtime-limit` for a limit that the kernel would refuse us."""
    for limit in limits:
        if limit.name not in NAMES:
            raise BuildFailure(
                "runtime-limit", f"there is no resource limit {limit.name!r}", hint=f"there are {', '.join(NAMES)}"
            )
        if _number(limit.soft) > _number(limit.hard):
            raise BuildFailure("runtime-limit", f"the soft limit of {limit.name} is above the hard one")
        if limit.name == "nofile" and _number(limit.hard) > (most := int(Path("/proc/sys/fs/nr_open").read_text())):
            raise BuildFailure("runtime-limit", f"this kernel allows a nofile of {most} at most")
        own = _number(resource.getrlimit(_kind(limit.name))[1])
        if _number(limit.hard) > own and not _may_raise(rung):
            raise BuildFailure(
                "runtime-limit",
                f"lamina may not raise the limit of {limit.name} above {own} here",
                hint="ask for less, or run lamina as root with the capability CAP_SYS_RESOURCE",
            )


def _may_raise(rung: Rung) -> bool:
    """Only the machine's root may, and not even that in many containers."""
    return rung.name == "root" and "CAP_SYS_RESOURCE" in isolation.own_capabilities()


def command(limits: Sequence[Limit]) -> list[str]:
    """The words that start a program with these limits; none if there are none."""
    options = [f"--{limit.name}={_word(limit.soft)}:{_word(limit.hard)}" for limit in limits]
    return ["prlimit", *options, "--"] if options else []


def oci_section(limits: Sequence[Limit]) -> list[dict[str, Any]]:
    """`process.rlimits` of an OCI configuration (runtime-spec, config.md)."""
    return [
        {"type": f"RLIMIT_{limit.name.upper()}", "soft": _number(limit.soft), "hard": _number(limit.hard)}
        for limit in limits
    ]


def _kind(name: str) -> int:
    return int(getattr(resource, f"RLIMIT_{name.upper()}", _LOCKS))


def _number(value: int) -> int:
    return _UNLIMITED if value < 0 else value


def _word(value: int) -> str:
    return "unlimited" if value < 0 else str(value)
