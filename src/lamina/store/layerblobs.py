"""Which blobs hold a layer: so that an unchanged layer is never compressed twice, and may be in the store without being
unpacked."""

from __future__ import annotations

from lamina.digest import DiffID, Digest
from lamina.oci.descriptor import Descriptor
from lamina.store.blobs import Blobs
from lamina.store.index import Index


class LayerBlobs:
    """A `ports.PackedLayers`: diff ID and compression (`gzip`, `zstd`, `uncompressed`, or a caller's own such as
    `gzip-9`) → blob."""

    def __init__(self, index: Index, blobs: Blobs) -> None:
        self._index = index
        self._blobs = blobs

    def add(self, diff_id: DiffID, compression: str, blob: Descriptor, *, checked: bool = True) -> None:
        """Remember a blob; the newest of a compression counts, but for one that is not `checked`: nobody has unpacked
        it yet, so it does not take the place of one that was."""
        sql = "SELECT digest FROM layer_blobs WHERE diff_id = ? AND compression = ? AND checked = 1"
        if not checked and any(self._blobs.has(row[0]) for row in self._index.read(sql, diff_id, compression)):
            return
        with self._index.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?, ?, ?)",
                (diff_id, compression, blob.digest, blob.media_type, blob.size, int(checked)),
            )

    def confirm(self, diff_id: DiffID, digest: Digest) -> None:
        """This blob was unpacked, and is that layer."""
        with self._index.write() as connection:
            sql = "UPDATE layer_blobs SET checked = 1 WHERE diff_id = ? AND digest = ?"
            connection.execute(sql, (diff_id, digest))

    def forget(self, diff_id: DiffID, digest: Digest) -> None:
        """This blob turned out not to be that layer."""
        with self._index.write() as connection:
            connection.execute("DELETE FROM layer_blobs WHERE diff_id = ? AND digest = ?", (diff_id, digest))

    def find(self, diff_id: DiffID, compression: str) -> Descriptor | None:
        """The blob in that compression, if it is still there."""
        return self.all(diff_id).get(compression)

    def any(self, diff_id: DiffID) -> Descriptor | None:
        """A blob that is there, if possible one that was unpacked or packed here."""
        return next(iter(self.all(diff_id).values()), None)

    def all(self, diff_id: DiffID, *, checked: bool = False) -> dict[str, Descriptor]:
        """Every blob of a layer that is still there, by compression, those that are checked first (or alone)."""
        sql = "SELECT compression, media_type, digest, size FROM layer_blobs WHERE diff_id = ? AND checked >= ? "
        rows = self._index.read(sql + "ORDER BY checked DESC, compression", diff_id, int(checked))
        return {compression: Descriptor(*row) for compression, *row in rows if self._blobs.has(row[1])}
