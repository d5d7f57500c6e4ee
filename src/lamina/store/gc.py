"""Garbage collection: what nothing reaches goes at once, cache records go by age and by size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

from msgspec import Struct

from lamina.digest import ChainID, Digest
from lamina.keys.record import CacheRecord
from lamina.store import reserve
from lamina.store.cachemounts import CacheMounts
from lamina.store.downloads import Download, kept_downloads
from lamina.store.failures import explained
from lamina.store.mark import Marks, mark
from lamina.store.snapshots import Row
from lamina.store.store import Store


class Usage(Struct, frozen=True):
    """What the store holds: counts, and bytes (of layers: of their regular files, each shared directory once; of
    downloads and cache mounts: on the disk)."""

    images: int
    records: int
    layers: int
    layer_bytes: int
    blobs: int
    blob_bytes: int
    facts_bytes: int
    download_bytes: int = 0
    cache_mount_bytes: int = 0

    @property
    def total(self) -> int:
        counted = self.layer_bytes + self.blob_bytes + self.facts_bytes
        return counted + self.download_bytes + self.cache_mount_bytes


class Pruned(Struct, frozen=True):
    """What was deleted, or would be. `bytes` as in `Usage`."""

    images: int
    records: int
    layers: int
    blobs: int
    facts: int
    bytes: int
    downloads: int = 0


def usage(store: Store) -> Usage:
    """Count and add up. Raises BuildFailure."""
    layers = {row.layer: row.size for row in store.snapshots.rows()}
    blobs = dict(_blob_sizes(store))
    facts = sum(store.facts.size(digest) for digest in store.facts.digests())
    images, records = store.index.read("SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM records)")[0]
    return Usage(
        images=images,
        records=records,
        layers=len(layers),
        layer_bytes=sum(layers.values()),
        blobs=len(blobs),
        blob_bytes=sum(blobs.values()),
        facts_bytes=facts,
        download_bytes=sum(download.size for download in kept_downloads(store.layout)),
        cache_mount_bytes=sum(folder.size() for folder in CacheMounts(store.layout.cache_mounts).folders()),
    )


def prune(
    store: Store, *, older_than: float | None = None, max_size: int | None = None, dry_run: bool = False
) -> Pruned:
    """Delete images without a name and all that neither an image nor a cache record reaches; and drop cache records:
    those last used before `older_than` (seconds since the epoch), then the
    longest unused until layers, blobs and facts take at most `max_size` bytes. What a named image needs always stays.
    With `older_than`, builds from before it are forgotten with their logs, and downloads last used before it deleted.
    Cache mounts stay: see `CacheMounts.delete`.

    Raises BuildFailure `store-busy` if other processes use the store.
    """
    with nullcontext() if dry_run else store.alone():
        if not dry_run:
            reserve.release(store.layout)
            store.records.flush()
        plan = _Plan(store)
        if older_than is not None:
            plan.drop_older(older_than)
        if max_size is not None:
            plan.shrink(max_size)
        marks = plan.marks()
        if not dry_run:
            with store.index.write() as connection:
                connection.executemany("DELETE FROM records WHERE id = ?", [(number,) for number in plan.dropped])
            store.images.forget_nameless()
            if older_than is not None:
                _forget_builds(store, older_than)
        downloads = [] if older_than is None else [one for one in kept_downloads(store.layout) if one.used < older_than]
        pruned = _sweep(store, marks, plan, downloads, dry_run)
        if not dry_run:
            reserve.hold(store.layout)
        return pruned


def _forget_builds(store: Store, older_than: float) -> None:
    for name in store.builds.forget(older_than):
        with explained(store.layout.logs), suppress(FileNotFoundError):
            (store.layout.logs / Path(name).name).unlink()


class _Plan:
    """Which records to drop. Marks again after each choice would be quadratic, so sizes are counted by reference."""

    def __init__(self, store: Store) -> None:
        self._store = store
        images = store.images.list()
        self._named = [image for image in images if image.names]
        self.nameless = len(images) - len(self._named)
        by_use = sorted(store.records.all(), key=lambda entry: (entry[1], entry[0]))
        self._kept: dict[int, tuple[float, CacheRecord]] = {number: (used, record) for number, used, record in by_use}
        self.dropped: list[int] = []

    def marks(self) -> Marks:
        return mark(self._store, self._named, [record for _, record in self._kept.values()])

    def _drop(self, number: int) -> None:
        del self._kept[number]
        self.dropped.append(number)

    def drop_older(self, limit: float) -> None:
        for number, (used, _) in list(self._kept.items()):
            if used < limit:
                self._drop(number)

    def shrink(self, max_size: int) -> None:
        """Drop the longest unused, as few as suffice: the size falls with each drop, so halving finds the number."""
        numbers = list(self._kept)
        kept = dict(self._kept)

        def fits(count: int) -> bool:
            self._kept = {number: kept[number] for number in numbers[count:]}
            return _size_of(self._store, self.marks()) <= max_size

        low, high = 0, len(numbers)
        while low < high:
            middle = (low + high) // 2
            if fits(middle):
                high = middle
            else:
                low = middle + 1
        self._kept = kept
        for number in numbers[:low]:
            self._drop(number)


def _size_of(store: Store, marks: Marks) -> int:
    layers = {row.layer: row.size for row in store.snapshots.rows() if row.chain in marks.chains}
    blobs = sum(size for digest, size in _blob_sizes(store) if digest in marks.blobs)
    facts = sum(store.facts.size(digest) for digest in store.facts.digests() if digest in marks.facts)
    return sum(layers.values()) + blobs + facts


def _sweep(store: Store, marks: Marks, plan: _Plan, downloads: list[Download], dry_run: bool) -> Pruned:
    rows = store.snapshots.rows()
    used_layers = {row.layer for row in rows if row.chain in marks.chains}
    lost = {row.layer: row.size for row in rows if row.layer not in used_layers}
    blobs = {digest: size for digest, size in _blob_sizes(store) if digest not in marks.blobs}
    facts = {digest: store.facts.size(digest) for digest in store.facts.digests() if digest not in marks.facts}
    if not dry_run:
        _delete_rows(store, rows, marks.chains, blobs)
        for layer in lost:
            store.session.discard(store.layout.layer(layer))
        for orphan in _orphans(store):
            store.session.discard(orphan)
        for digest in blobs:
            store.blobs.delete(digest)
        for digest in facts:
            store.facts.delete(digest)
        for download in downloads:
            store.session.discard(download.path)
    freed = sum(lost.values()) + sum(blobs.values()) + sum(facts.values()) + sum(one.size for one in downloads)
    return Pruned(plan.nameless, len(plan.dropped), len(lost), len(blobs), len(facts), freed, len(downloads))


def _delete_rows(store: Store, rows: list[Row], used: set[ChainID], blobs: dict[Digest, int]) -> None:
    """Rows go before the directories and files that they name: a kill in between leaves garbage, not holes."""
    with store.index.write() as connection:
        unused = [(row.chain,) for row in rows if row.chain not in used]
        connection.executemany("DELETE FROM snapshots WHERE chain = ?", unused)
        connection.executemany("DELETE FROM layer_blobs WHERE digest = ?", [(digest,) for digest in blobs])
        connection.execute("DELETE FROM damaged_records")


def _orphans(store: Store) -> list[Path]:
    """Layer directories that no row names."""
    named = {store.layout.layer(number).name for (number,) in store.index.read("SELECT layer FROM snapshots")}
    with explained(store.layout.layers):
        return [path for path in store.layout.layers.iterdir() if path.name not in named]


def _blob_sizes(store: Store) -> Iterator[tuple[Digest, int]]:
    with explained(store.layout.blobs), os.scandir(store.layout.blobs) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield Digest("sha256:" + entry.name), entry.stat().st_size
