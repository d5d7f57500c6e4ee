"""Digests, their three kinds, and the framed hashing that every cache key uses.

A `Digest` names stored bytes. A `DiffID` names an *uncompressed* layer tar, a `ChainID` a stack of layers. They are
distinct types to the type checker, so that the digest of a compressed blob cannot stand where a diff ID belongs
(OCI image-spec, config.md, "Layer DiffID" and "Layer ChainID").
"""

from __future__ import annotations

import hashlib
from typing import NewType

Digest = NewType("Digest", str)
DiffID = NewType("DiffID", str)
ChainID = NewType("ChainID", str)

_HEX = frozenset("0123456789abcdef")


def digest_of(data: bytes) -> Digest:
    """The `sha256:<hex>` digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def parse_digest(text: str) -> Digest:
    """Check that `text` is a well-formed sha256 digest. Raises ValueError otherwise.

    Only sha256 is accepted: lamina verifies everything that it stores, and no registry in use serves anything else.
    """
    algorithm, _, encoded = text.partition(":")
    if algorithm != "sha256" or len(encoded) != 64 or not _HEX.issuperset(encoded):
        raise ValueError(f"not a sha256 digest: {text!r}")
    return Digest(text)


def chain_id(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """The chain ID of a layer stacked on `parent` (image-spec, config.md, "Layer ChainID")."""
    if parent is None:
        return ChainID(diff_id)
    return ChainID(digest_of(f"{parent} {diff_id}".encode()))


class FramedHash:
    """SHA-256 over named, length-prefixed values: no two different lists of parts ever give the same input bytes.

    Frame: name length (4 bytes, big endian), name (UTF-8; bytes that are none as they are), value length (8 bytes, big
    endian), value.
    """

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, value: bytes | str) -> None:
        key = name.encode("utf-8", "surrogateescape")
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        self._hash.update(len(key).to_bytes(4, "big") + key + len(data).to_bytes(8, "big"))
        self._hash.update(data)

    def digest(self) -> Digest:
        return Digest("sha256:" + self._hash.hexdigest())
