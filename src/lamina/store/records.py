"""Cache records: one row each, whose insertion is the commit point of a step."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Sequence

from lamina.digest import ChainID, Digest
from lamina.keys.record import CacheRecord
from lamina.store.codec import decode, encode, to_blob
from lamina.store.index import Index
from lamina.store.layerblobs import LayerBlobs
from lamina.store.snapshots import Snapshots

#: How many records of an address, and how many of a text, `nearest` compares a missed key with at most.
NEAREST = 8


class Records:
    """A `ports.CacheIndex` on disk."""

    def __init__(self, index: Index, snapshots: Snapshots, layer_blobs: LayerBlobs) -> None:
        self._index = index
        self._snapshots = snapshots
        self._layer_blobs = layer_blobs
        self._used: set[int] = set()
        self._guard = threading.Lock()

    def find(self, key: Digest) -> CacheRecord | None:
        """The newest record whose definition key or content key is `key` and whose result is still there: a directory,
        or a blob that nobody has unpacked yet.

        Looking only at the result's own layer is enough: who asks stands on the parent already, or fetches what is
        missing below as any base image.
        """
        rows = self._index.read(
            'SELECT id, data, "check" FROM records WHERE key = ?1 OR content_key = ?1 ORDER BY id DESC', key
        )
        for number, data, check in rows:
            record = self._decode(number, data, check)
            if record is None or key not in (record.key.digest, record.content_key):
                continue
            if record.result is None or self._is_there(record):
                with self._guard:
                    self._used.add(number)
                return record
        return None

    def _is_there(self, record: CacheRecord) -> bool:
        if record.result is not None and self._snapshots.get(record.result) is not None:
            return True
        return record.diff_id is not None and self._layer_blobs.any(record.diff_id) is not None

    def is_result(self, chain: ChainID) -> bool:
        """Whether a cached step made this layer, and not somebody else's builder."""
        return bool(self._index.read("SELECT 1 FROM records WHERE result = ? LIMIT 1", chain))

    def nearest(self, address: str, project: str, text: str) -> Sequence[CacheRecord]:
        """Up to 8 records of that project with this address and up to 8 with this text, those used last first, also
        such whose result is gone. If that project has none, up to 8 of others with this text."""
        chosen = 'SELECT used, id, data, "check" FROM records WHERE'
        rows = {
            row
            for column, value in (("address", address), ("text", text))
            for row in self._index.read(
                f"{chosen} project = ? AND {column} = ? ORDER BY used DESC, id DESC LIMIT ?",
                to_blob(project),
                to_blob(value),
                NEAREST,
            )
        } or self._index.read(f"{chosen} text = ? ORDER BY used DESC, id DESC LIMIT ?", to_blob(text), NEAREST)
        records = (self._decode(*row[1:]) for row in sorted(rows, reverse=True))
        return tuple(record for record in records if record is not None)

    def add(self, record: CacheRecord) -> None:
        data = encode(record)
        row = (
            record.key.digest,
            record.content_key,
            to_blob(record.address),
            to_blob(record.project),
            to_blob(record.text),
            record.result,
            time.time(),
            data,
            zlib.crc32(data),
        )
        with self._index.write() as connection:
            connection.execute(
                'INSERT INTO records (key, content_key, address, project, text, result, used, data, "check") '
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def all(self) -> list[tuple[int, float, CacheRecord]]:
        """Every readable record with its row number and the time of its last use (seconds since the epoch)."""
        rows = self._index.read('SELECT id, data, "check", used FROM records ORDER BY id')
        decoded = ((number, used, self._decode(number, data, check)) for number, data, check, used in rows)
        return [(number, used, record) for number, used, record in decoded if record is not None]

    def flush(self) -> None:
        """Write down which records were used since the last call; what a kill takes of it only ages records."""
        with self._guard:
            used, self._used = self._used, set()
        if used:
            now = time.time()
            with self._index.write() as connection:
                connection.executemany("UPDATE records SET used = ? WHERE id = ?", [(now, number) for number in used])

    def _decode(self, number: int, data: bytes, check: int) -> CacheRecord | None:
        """A row's record. A damaged row is set aside in `damaged_records` and is a miss from then on."""
        try:
            if zlib.crc32(data) != check:
                raise ValueError("damaged: checksum")
            return decode(data, CacheRecord)
        except (ValueError, TypeError):
            with self._index.write() as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO damaged_records SELECT id, data FROM records WHERE id = ?", (number,)
                )
                connection.execute("DELETE FROM records WHERE id = ?", (number,))
            return None
