"""Cache keys and cache records: named parts, kept for ever beside the result (DESIGN: "Keep what you hashed")."""

from __future__ import annotations

from msgspec import Struct

from lamina.diagnostics import Span
from lamina.digest import ChainID, DiffID, Digest
from lamina.keys.looks import Stack


class KeyPart(Struct, frozen=True):
    """One named input of a step. `value` is what was hashed; a secret is never in it. `files` names the stored list of
    file records behind a tree digest, so that two keys can be compared file by file."""

    name: str
    value: str
    files: Digest | None = None
    span: Span | None = None


class CacheKey(Struct, frozen=True):
    """A key: `digest` is the framed hash over the schema number, the kind (run, copy, …) and the parts in order."""

    schema: int
    kind: str
    parts: tuple[KeyPart, ...]
    digest: Digest


class CacheRecord(Struct, frozen=True):
    """A step that exists. `key` has the parent's key in it (lookup by definition); `content_key` is the digest of the
    same parts over the parent's chain ID (lookup by content). `result` is the stack after the step. `looks` names what
    an observed step saw of the copied layers of its `stack` (see `keys.looks`); `plain`: it saw so much that observing
    it is not worth its cost."""

    key: CacheKey
    content_key: Digest
    address: str
    project: str
    text: str
    parent: ChainID | None
    result: ChainID | None
    diff_id: DiffID | None
    files: Digest | None
    seconds: float
    size: int
    created: float
    build: str
    version: str
    looks: Digest | None = None
    stack: Stack = ()
    plain: bool = False
