"""Platforms: `os/architecture[/variant]`, as in `--platform` and in image indexes."""

from __future__ import annotations

from msgspec import Struct

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


class Platform(Struct, frozen=True, omit_defaults=True):
    """A platform in normal form: `amd64` rather than `x86_64`, `arm64` without its only variant `v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse_platform(text: str, *, default: Platform) -> Platform:
    """Read `os`, `architecture` or `os/architecture[/variant]`; a missing part comes from `default`.

    Raises ValueError for anything else. Rule: containerd's platform specifiers.
    """
    parts = text.strip().lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(part and part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise ValueError(f"{text!r} is not a platform: write os/architecture[/variant], such as linux/amd64")
    if len(parts) == 1:
        if normal_architecture(parts[0]) in _KNOWN:
            return _normal(default.os, parts[0], "")
        if parts[0] == default.os:
            return default
        raise ValueError(f"{text!r} is not a platform: unknown architecture or system")
    return _normal(parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def normal_architecture(name: str) -> str:
    """The OCI name of an architecture that the kernel or a distribution names otherwise."""
    return _ARCHITECTURES.get(name, name)


def matches(wanted: Platform, offered: Platform) -> bool:
    """Whether an image for `offered` can serve `wanted`: same system and architecture, and no other variant asked."""
    return (wanted.os, wanted.architecture) == (offered.os, offered.architecture) and (
        wanted.variant in ("", offered.variant) or offered.variant == ""
    )


def _normal(system: str, architecture: str, variant: str) -> Platform:
    if architecture == "armel" and not variant:
        variant = "v6"
    architecture = normal_architecture(architecture)
    if architecture == "arm64" and variant in ("v8", "8"):
        variant = ""
    if architecture == "arm":
        variant = "v" + variant.removeprefix("v") if variant else "v7"
    return Platform(system, architecture, variant)
