"""The recipe of a cache key: which named parts each kind of step has, in which order. Public: `docs/formats/key.md`.

A change of meaning is a new `SCHEMA` number: old records then miss cleanly, and the change is an ADR.
"""

from __future__ import annotations

SCHEMA = 2

#: The part that stands for everything below a step: the parent's key (definition) or its chain ID (content).
PARENT = "parent"
BASE = "base"
PLATFORM = "platform"

#: Part names in key order. Those with dots repeat, one part each: `env NAME`, `mount /target`. What stands behind
#: `security` of RUN and `unpack` of COPY is left out where a Dockerfile does not use it.
PARTS: dict[str, tuple[str, ...]] = {
    "from": (BASE, PLATFORM),
    "run": (
        *(PARENT, PLATFORM, "command", "env …", "user", "directory", "network", "security"),
        *("mount …", "source …", "script", "hostname", "host …", "epoch"),
    ),
    "copy": (
        *(PARENT, "source …", "destination", "owner", "mode", "unpack"),
        *("link", "parents", "tree …", "unpack …"),
    ),
    "workdir": (PARENT, "directory", "owner"),
}
