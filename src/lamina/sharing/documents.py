"""The documents of a shared cache: what they hold, their bytes, and what makes one worth believing.

Format: docs/formats/shared-cache.md. A document is a signature (or none) before a compressed list of entries.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lamina.digest import ChainID, Digest, chain_id, parse_digest
from lamina.keys.compute import key_digest, over
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.keys.record import CacheRecord
from lamina.keys.schema import SCHEMA
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest
from lamina.oci.mediatypes import layer_compression
from lamina.store import columns
from lamina.store.codec import decode, encode

FORMAT = 1
FILES_TYPE = "application/vnd.lamina.files.v1+zstd"
_UNSIGNED, _SIGNED = b"lmc\x00", b"lmc\x01"
#: Bytes that documents and lists of files may have when they are unpacked.
_MAX_ENTRIES = 16 << 20
_MAX_FILES = 256 << 20


class Entry(Struct, frozen=True):
    """A step that somebody built: its record, the blob of its layer, and the blobs of the lists of files that its key
    names, by the lists' tree digests. `writer` says who wrote it, `written` when (seconds since the epoch). `packed` is
    that of `KnownLayer`."""

    format: int
    record: CacheRecord
    layer: Descriptor
    files: dict[Digest, Descriptor]
    writer: str
    written: float
    packed: str = ""

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        return tuple({blob.digest: blob for blob in (self.layer, *self.files.values())}.values())


def prepare() -> None:
    """To be called while there is one thread: msgspec describes a type to itself when it is first used, and crashes if
    two threads make it do that at once (seen with 0.22)."""
    for kind in (tuple[Entry, ...], Manifest, Index):
        msgspec.json.Decoder(kind)
    columns.from_bytes(columns.to_bytes(()))


def is_of(entry: Entry, key: Digest) -> bool:
    """Whether an entry belongs to the document of this key."""
    return key in (entry.record.key.digest, entry.record.content_key)


def key_name(key: Digest) -> str:
    """The name of the document of a definition or content key."""
    return f"k-{key.partition(':')[2]}"


def address_name(address: str) -> str:
    """The name of the document with what was last built of the step with this address, for explanations."""
    return f"a-{hashlib.sha256(address.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


def pack(entries: Sequence[Entry], secret: bytes | None) -> bytes:
    """A document, signed if there is a secret."""
    packed = _compressed(encode(tuple(entries)))
    if secret is None:
        return _UNSIGNED + packed
    return _SIGNED + _signature(secret, packed) + packed


def unpack(document: bytes, secret: bytes | None) -> tuple[Entry, ...]:
    """The entries of a document; with a secret only if it is signed with that. Raises ValueError."""
    packed = document[len(_UNSIGNED) :]
    if document.startswith(_SIGNED):
        signature, packed = packed[:32], packed[32:]
        if secret is not None and not hmac.compare_digest(signature, _signature(secret, packed)):
            raise ValueError("signed with another key")
    elif secret is not None or not document.startswith(_UNSIGNED):
        raise ValueError("not signed")
    return decode(_expanded(packed, _MAX_ENTRIES), tuple[Entry, ...])


def is_foreign(document: bytes) -> bool:
    """Whether a document that cannot be unpacked is whole all the same, so that another lamina may have written it."""
    if not document.startswith((_SIGNED, _UNSIGNED)):
        return document.startswith(b"lmc")
    try:
        packed = document[len(_UNSIGNED) + (32 if document.startswith(_SIGNED) else 0) :]
        decode(_expanded(packed, _MAX_ENTRIES), object)
    except ValueError:
        return False
    return True


def stripped(record: CacheRecord) -> CacheRecord:
    """A record as it leaves the machine: without what is of this machine alone, its paths and its observations."""
    parts = tuple(replace(part, span=None) for part in record.key.parts)
    key = replace(record.key, parts=parts)
    return replace(record, key=key, project="", build="", looks=None, stack=(), plain=False)


def is_sound(entry: Entry) -> bool:
    """Whether an entry is consistent in itself: its keys are the digests of its parts, its result the chain of parent
    and layer. That its layer is what it says shows when it is unpacked."""
    record, key = entry.record, entry.record.key
    if entry.format != FORMAT or key.schema != SCHEMA or record.diff_id is None or record.size < 0:
        return False
    try:
        for digest in (record.diff_id, entry.layer.digest, *(blob.digest for blob in entry.files.values())):
            parse_digest(digest)
        layer_compression(entry.layer.media_type)
    except ValueError:
        return False
    return (
        record == stripped(record)
        and key.digest == key_digest(key.kind, key.parts)
        and record.content_key == over(key, record.parent or ChainID("scratch"))
        and record.result == chain_id(record.parent, record.diff_id)
        and all(blob.size >= 0 for blob in entry.blobs)
    )


def connected(keys: Sequence[Digest], offers: Mapping[Digest, Sequence[Entry]]) -> dict[Digest, Entry]:
    """One entry a key, so that as many steps as possible stand on each other. `keys` are of steps from below, `offers`
    the entries of each key, those to be preferred first.

    Two machines that ran a step at the same time made two layers, and each went on from its own.
    """
    above: dict[ChainID | None, list[Entry]] = {}
    for entry in {entry.record.result: entry for key in keys for entry in offers.get(key, ())}.values():
        above.setdefault(entry.record.parent, []).append(entry)
    heights: dict[ChainID | None, int] = {}

    def height(result: ChainID | None) -> int:
        """How many steps there are on top of a result. Chain IDs are digests, so this comes to an end."""
        if result not in heights:
            heights[result] = max((1 + height(entry.record.result) for entry in above.get(result, ())), default=0)
        return heights[result]

    # What a content key was asked for stands on the stack that is there now.
    under = {entry.record.parent for key in keys for entry in offers.get(key, ()) if key == entry.record.content_key}
    chosen: dict[Digest, Entry] = {}
    for key in keys:
        if offers.get(key):
            best = max(offers[key], key=lambda entry: (entry.record.parent in under, height(entry.record.result)))
            chosen[key] = best
            under.add(best.record.result)
    return chosen


def pack_files(records: Sequence[FileRecord]) -> bytes:
    """A list of files as a blob."""
    return _compressed(columns.to_bytes(records))


def unpack_files(data: bytes, digest: Digest) -> tuple[FileRecord, ...]:
    """The list of files with this tree digest. Raises ValueError if it is another."""
    records = columns.from_bytes(_expanded(data, _MAX_FILES))
    if digest not in (tree_digest(records), tree_digest(records, owners=True)):
        raise ValueError("not the list with this digest")
    return records


def _signature(secret: bytes, packed: bytes) -> bytes:
    return hmac.digest(secret, b"lamina cache document\0" + packed, "sha256")


def _compressed(raw: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(raw)


def _expanded(data: bytes, limit: int) -> bytes:
    """Raises ValueError, also for what would be longer than `limit`."""
    import zstandard

    try:
        if not 0 <= zstandard.get_frame_parameters(data).content_size <= limit:
            raise ValueError("too long")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from error
