"""Which compressed blobs hold a layer, so that an unchanged layer is never compressed twice."""

from __future__ import annotations

from lamina.digest import DiffID
from lamina.oci.descriptor import Descriptor
from lamina.store.blobs import Blobs
from lamina.store.index import Index


class LayerBlobs:
    """Diff ID and compression (`gzip`, `zstd`, `uncompressed`, or a caller's own such as `gzip-9`) → blob."""

    def __init__(self, index: Index, blobs: Blobs) -> None:
        self._index = index
        self._blobs = blobs

    def add(self, diff_id: DiffID, compression: str, blob: Descriptor) -> None:
        """Remember a blob; the newest of a compression counts."""
        with self._index.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?, ?)",
                (diff_id, compression, blob.digest, blob.media_type, blob.size),
            )

    def find(self, diff_id: DiffID, compression: str) -> Descriptor | None:
        """The blob in that compression, if it is still there."""
        rows = self._index.read(
            "SELECT media_type, digest, size FROM layer_blobs WHERE diff_id = ? AND compression = ?",
            diff_id,
            compression,
        )
        return next((Descriptor(*row) for row in rows if self._blobs.has(row[1])), None)

    def all(self, diff_id: DiffID) -> dict[str, Descriptor]:
        """Every blob of a layer that is still there, by compression."""
        sql = "SELECT compression, media_type, digest, size FROM layer_blobs WHERE diff_id = ?"
        rows = self._index.read(sql, diff_id)
        return {compression: Descriptor(*row) for compression, *row in rows if self._blobs.has(row[1])}
