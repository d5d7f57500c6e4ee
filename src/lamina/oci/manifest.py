"""Manifests and indexes (image-spec, manifest.md and image-index.md; Docker's schema 2 is read alike)."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.platform import Platform, matches


class Manifest(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One platform's image: its configuration and its layers, lowest first."""

    schema_version: int
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str] = field(default_factory=dict)


class Index(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A list of manifests, one a platform."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = mediatypes.OCI_INDEX
    annotations: dict[str, str] = field(default_factory=dict)


def decode_manifest(raw: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index, told apart by `mediaType`, by `media_type` (an HTTP header's), or by shape.

    Raises ValueError for anything else, also for Docker's old schema 1.
    """
    try:
        loose = msgspec.json.decode(raw)
        if not isinstance(loose, dict):
            raise ValueError("not a manifest: not a JSON object")
        if loose.get("schemaVersion") != 2:
            raise ValueError(f"not a manifest that lamina reads: schemaVersion {loose.get('schemaVersion')!r}")
        kind = loose.get("mediaType") or media_type
        if kind in mediatypes.INDEXES or (kind not in mediatypes.MANIFESTS and "manifests" in loose):
            return msgspec.convert({**loose, "mediaType": kind or mediatypes.OCI_INDEX}, Index)
        return msgspec.convert({**loose, "mediaType": kind or mediatypes.OCI_MANIFEST}, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"not a manifest: {error}") from error


def encode_manifest(manifest: Manifest | Index) -> bytes:
    """The bytes to store and to push."""
    return msgspec.json.encode(manifest)


def select_platform(index: Index, wanted: Platform) -> Descriptor | None:
    """The entry of an index for a platform: an exact match first, then one whose variant is left open."""
    offers = [entry for entry in index.manifests if entry.platform is not None and matches(wanted, entry.platform)]
    exact = [entry for entry in offers if entry.platform == wanted]
    return (exact or offers or [None])[0]  # type: ignore[list-item]
