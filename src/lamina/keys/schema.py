"""The recipe of a cache key: which named parts each kind of step has, in which order. Public: `docs/formats/key.md`.

A change of meaning is a new `SCHEMA` number: old records then miss cleanly, and the change is an ADR.
"""

from __future__ import annotations

SCHEMA = 2

#: The part that stands for everything below a step: the parent's key (definition) or its chain ID (content).
PARENT = "parent"
BASE = "base"
#: In keys of reproducible builds: the time that no file of the layer is later than.
TIMES = "times"
PLATFORM = "platform"

#: Part names in key order. Those with dots repeat, one part each: `env NAME`, `mount /target`. What stands behind
#: `security` of RUN, `unpack` of COPY and `owner` of WORKDIR is left out where a build does not use it.
PARTS: dict[str, tuple[str, ...]] = {
    "from": (BASE, PLATFORM),
    "run": (
        *(PARENT, PLATFORM, "command", "env …", "user", "directory", "network", "security"),
        *("mount …", "source …", "script", "hostname", "host …", "epoch", TIMES),
    ),
    "copy": (
        *(PARENT, "source …", "destination", "owner", "mode", "unpack"),
        *("link", "parents", "tree …", "unpack …", TIMES),
    ),
    "workdir": (PARENT, "directory", "owner", TIMES),
}
