"""Descriptors: what points at a blob (image-spec, descriptor.md)."""

from __future__ import annotations

from msgspec import Struct, field

from lamina.digest import Digest
from lamina.oci.platform import Platform


class Descriptor(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Media type, digest and size in bytes of a blob; `platform` only inside an index."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = field(default_factory=dict)
