"""Platforms: `os/architecture[/variant]`, as in `--platform` and in image indexes."""

from __future__ import annotations

import re

from msgspec import Struct

_PART = re.compile(r"[a-z0-9_-]+\Z")

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "i686": "386",
    "ppc64el": "ppc64le",
}
_KNOWN = frozenset({"amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"})

#: What a variant that is left open means.
_BASELINE = {"amd64": 1, "arm64": 8, "arm": 7}


class Platform(Struct, frozen=True, omit_defaults=True):
    """A platform in normal form: `amd64` rather than `x86_64`, `arm64` without its only variant `v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse_platform(text: str, *, default: Platform) -> Platform:
    """Read `os`, `architecture`, `architecture/variant` or `os/architecture[/variant]`; a missing part comes from
    `default`. Raises ValueError for anything else. Rule: containerd's platform specifiers.
    """
    parts = text.strip().lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(_PART.match(part) for part in parts):
        raise ValueError(f"{text!r} is not a platform: write os/architecture[/variant], such as linux/amd64")
    if len(parts) == 1:
        if normal_architecture(parts[0]) in _KNOWN:
            return _normal(default.os, parts[0], "")
        if parts[0] == default.os:
            return default
        raise ValueError(f"{text!r} is not a platform: unknown architecture or system")
    if len(parts) == 2 and normal_architecture(parts[0]) in _KNOWN:
        return _normal(default.os, parts[0], parts[1])
    return _normal(parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def normal_architecture(name: str) -> str:
    """The OCI name of an architecture that the kernel or a distribution names otherwise."""
    return _ARCHITECTURES.get(name, name)


def preference(wanted: Platform, offered: Platform) -> int | None:
    """How well an image for `offered` serves `wanted`: 0 for exactly, more for less well, None for not at all.

    A processor also runs what was built for the older variants of its architecture: arm/v7 runs v6 and v5, amd64/v3
    runs v2 and v1. A variant that is left open is the baseline. Rule: containerd's `platforms.Only`.
    """
    if (wanted.os, normal_architecture(wanted.architecture)) != (offered.os, normal_architecture(offered.architecture)):
        return None
    have, need = _level(wanted), _level(offered)
    if have is None or need is None:
        same = wanted.variant == offered.variant
        return 0 if same else 1 if "" in (wanted.variant, offered.variant) else None
    return have - need if need <= have else None


def matches(wanted: Platform, offered: Platform) -> bool:
    """Whether an image for `offered` can serve `wanted`."""
    return preference(wanted, offered) is not None


def _level(platform: Platform) -> int | None:
    """The number of a variant such as `v7`, the architecture's baseline if it is left open; None if it has none."""
    variant = platform.variant.removeprefix("v")
    if variant:
        return int(variant) if variant.isascii() and variant.isdigit() else None
    return _BASELINE.get(normal_architecture(platform.architecture))


def _normal(system: str, architecture: str, variant: str) -> Platform:
    if architecture == "armel" and not variant:
        variant = "v6"
    architecture = normal_architecture(architecture)
    if architecture == "arm64" and variant in ("v8", "8"):
        variant = ""
    if architecture == "amd64" and variant in ("v1", "1"):
        variant = ""
    if architecture == "arm":
        variant = "v" + variant.removeprefix("v") if variant else "v7"
    return Platform(system, architecture, variant)
