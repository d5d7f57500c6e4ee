"""A list of file records as bytes, column by column: what is alike stands together and compresses well."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from lamina.keys.filetree import FileRecord, Kind
from lamina.store.codec import to_blob

_KINDS: tuple[Kind, ...] = ("file", "dir", "link", "fifo", "char", "block", "socket")
_CODES = {kind: code for code, kind in enumerate(_KINDS)}


class _Columns(Struct, frozen=True, array_like=True):
    """Paths and targets are joined by NUL, which no path holds; contents are 32 bytes each, only where there is one."""

    count: int
    paths: bytes
    kinds: bytes
    modes: list[int]
    sizes: list[int]
    has_content: bytes
    contents: bytes
    targets: bytes
    owners: list[tuple[int, int]] | None
    xattrs: dict[int, tuple[tuple[bytes, bytes], ...]]


def to_bytes(records: Sequence[FileRecord]) -> bytes:
    """The records as MessagePack."""
    return msgspec.msgpack.encode(_to_columns(records))


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_DECODER = msgspec.msgpack.Decoder(_Columns)


def from_bytes(raw: bytes) -> tuple[FileRecord, ...]:
    """The records that `to_bytes` took. Raises ValueError if they cannot be."""
    try:
        return _from_columns(_DECODER.decode(raw))
    except (msgspec.MsgspecError, IndexError) as error:
        raise ValueError(f"damaged: {error}") from error


def _to_columns(records: Sequence[FileRecord]) -> _Columns:
    owned = any(record.uid or record.gid for record in records)
    return _Columns(
        len(records),
        to_blob("\0".join([record.path for record in records])),
        bytes([_CODES[record.kind] for record in records]),
        [record.mode for record in records],
        [record.size for record in records],
        bytes([bool(record.content) for record in records]),
        bytes.fromhex("".join([record.content for record in records])),
        to_blob("\0".join([record.target for record in records])),
        [(record.uid, record.gid) for record in records] if owned else None,
        {
            number: tuple((to_blob(name), data) for name, data in record.xattrs)
            for number, record in enumerate(records)
            if record.xattrs
        },
    )


def _from_columns(columns: _Columns) -> tuple[FileRecord, ...]:
    """Also column by column: a loop over the records takes twice the time."""
    count = columns.count
    if not count:
        return ()
    paths, targets = _split(columns.paths), _split(columns.targets)
    uids, gids = zip(*columns.owners, strict=True) if columns.owners else ([0] * count, [0] * count)
    per_record = (paths, targets, columns.kinds, columns.modes, columns.sizes, columns.has_content, uids)
    if {len(column) for column in per_record} != {count}:
        raise ValueError("damaged: columns of different lengths")
    digests = columns.contents.hex()
    known = iter([digests[start : start + 64] for start in range(0, len(digests), 64)])
    contents = [next(known, "") if there else "" for there in columns.has_content]
    xattrs: list[tuple[tuple[str, bytes], ...]] = [()] * count
    for number, pairs in columns.xattrs.items():
        xattrs[number] = tuple((name.decode("utf-8", "surrogateescape"), data) for name, data in pairs)
    kinds = [_KINDS[code] for code in columns.kinds]
    return tuple(map(FileRecord, paths, kinds, columns.modes, columns.sizes, contents, targets, uids, gids, xattrs))


def _split(joined: bytes) -> list[str]:
    return joined.decode("utf-8", "surrogateescape").split("\0")
