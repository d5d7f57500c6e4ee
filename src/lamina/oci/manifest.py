"""Manifests and indexes (image-spec, manifest.md and image-index.md; Docker's schema 2 is read alike)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from lamina.digest import parse_digest
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.platform import Platform, preference


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


# On import, which is one thread's: msgspec (0.22) crashes when two threads look at a type for the first time at once.
for _described in (Manifest, Index):
    msgspec.json.Decoder(_described)


def decode_manifest(raw: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index, told apart by `mediaType`, by `media_type` (an HTTP header's), or by shape.

    null stands for absent, as in Go's JSON. Raises ValueError for anything else: Docker's old schema 1, other media
    types, digests that are not sha256, and documents that could be read both ways (CVE-2021-41190).
    """
    try:
        loose = msgspec.json.decode(raw)
        if not isinstance(loose, dict):
            raise ValueError("not a manifest: not a JSON object")
        # `layers: null` is how Go writes an empty list; any other null is a member left out.
        lists: dict[str, Any] = {key: [] for key in ("layers", "manifests") if key in loose}
        present = {**lists, **{key: value for key, value in loose.items() if value is not None}}
        if present.get("schemaVersion") != 2:
            raise ValueError(f"not a manifest that lamina reads: schemaVersion {present.get('schemaVersion')!r}")
        kind = _kind(present, media_type)
        if kind in mediatypes.INDEXES:
            index = msgspec.convert(_descriptors_without_nulls({**present, "mediaType": kind}), Index)
            _check(index.manifests)
            return index
        manifest = msgspec.convert(_descriptors_without_nulls({**present, "mediaType": kind}), Manifest)
        _check((manifest.config, *manifest.layers))
        return manifest
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a manifest: {error}") from error


def encode_manifest(manifest: Manifest | Index) -> bytes:
    """The bytes to store and to push."""
    return msgspec.json.encode(manifest)


def select_platform(index: Index, wanted: Platform) -> Descriptor | None:
    """The entry of an index for a platform: the best match first, an entry that names no platform last."""
    offers = [
        (rank, entry)
        for entry in index.manifests
        if entry.platform is not None and (rank := preference(wanted, entry.platform)) is not None
    ]
    if offers:
        return min(offers, key=lambda offer: offer[0])[1]
    return next((entry for entry in index.manifests if entry.platform is None), None)


def _kind(present: dict[str, Any], media_type: str) -> str:
    declared = present.get("mediaType")
    if "manifests" in present and ("layers" in present or "config" in present):
        raise ValueError("not a manifest: it could be read as an index, too")
    if declared:
        if not isinstance(declared, str) or declared not in mediatypes.INDEXES | mediatypes.MANIFESTS:
            raise ValueError(f"not a manifest that lamina reads: media type {declared!r}")
        return declared
    if media_type in mediatypes.INDEXES | mediatypes.MANIFESTS:
        return media_type
    return mediatypes.OCI_INDEX if "manifests" in present else mediatypes.OCI_MANIFEST


def _descriptors_without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the null members of its descriptors left out; what is no descriptor is left as it is."""

    def cleaned(item: Any) -> Any:
        if isinstance(item, list):
            return [cleaned(one) for one in item]
        return {key: cleaned(v) for key, v in item.items() if v is not None} if isinstance(item, dict) else item

    return {key: cleaned(v) if key in ("config", "layers", "manifests") else v for key, v in document.items()}


def _check(descriptors: tuple[Descriptor, ...]) -> None:
    for descriptor in descriptors:
        parse_digest(descriptor.digest)
        if descriptor.size < 0:
            raise ValueError(f"not a manifest: size {descriptor.size} of {descriptor.digest}")
