"""What the store takes on the disk, by kind and by cached step. One walk over all of it, so it agrees with the disk."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from lamina.keys.record import CacheRecord
from lamina.store.cachemounts import CacheMounts
from lamina.store.choose import worth
from lamina.store.downloads import kept_downloads
from lamina.store.failures import explained
from lamina.store.limit import elsewhere_paths
from lamina.store.mark import Marks
from lamina.store.measure import LayerSizes, disk_bytes, measured
from lamina.store.parts import Parts
from lamina.store.sweep import blobs_of_layers


class Kind(Struct, frozen=True):
    """One kind of what the store holds: how many there are, None where counting says nothing, and bytes on the disk."""

    name: str
    count: int | None
    bytes: int


class StepUsage(Struct, frozen=True):
    """One cached step. `own` are the bytes of its layer that go with it, `shared` those that other layers hold as well
    by hard links; both 0 if the layer is gone. A layer that was never unpacked counts as its blobs. Records of equal
    layers tell of the same layer. `seconds` is what the step took, `used` when it was last used (seconds since the
    epoch), `value` what it is worth: see `choose`."""

    text: str
    project: str
    stage: str
    own: int
    shared: int
    seconds: float
    used: float
    value: float


class Usage(Struct, frozen=True):
    """All of the store. The bytes of the layers are those of the kind `layers`; `own` are those that a single layer
    holds, `shared` those in several, each counted once."""

    kinds: tuple[Kind, ...]
    own: int
    shared: int
    images: int
    records: int
    builds: int

    @property
    def total(self) -> int:
        return sum(kind.bytes for kind in self.kinds)

    def of(self, name: str) -> int:
        """The bytes of a kind."""
        return next(kind.bytes for kind in self.kinds if kind.name == name)


def layer_sizes(store: Parts) -> LayerSizes:
    """All layer directories, also those that no row names. Raises BuildFailure."""
    with explained(store.layout.layers):
        return LayerSizes(sorted(store.layout.layers.iterdir()))


def usage(store: Parts, sizes: LayerSizes | None = None) -> Usage:
    """Count and add up. Raises BuildFailure."""
    layout = store.layout
    sizes = sizes or layer_sizes(store)
    own = sum(alone for alone, _ in sizes.split().values())
    elsewhere = {path.name: path for path in elsewhere_paths(layout)}
    mounts, downloads = elsewhere.pop(layout.cache_mounts.name, None), elsewhere.pop(layout.downloads.name, None)
    images, records, builds = store.index.read(
        "SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM records), (SELECT count(*) FROM builds)"
    )[0]
    index = [path for path in layout.root.iterdir() if path.name.startswith(layout.index.name)]
    return Usage(
        kinds=(
            Kind("layers", len(sizes.split()), sizes.total + _itself(layout.layers)),
            Kind("blobs", _count(layout.blobs), disk_bytes(layout.blobs.parent)),
            Kind("file lists", _count(layout.facts), disk_bytes(layout.facts)),
            Kind("observations", len(store.observations.digests()), disk_bytes(layout.looks)),
            Kind("cache mounts", len(CacheMounts(layout.cache_mounts).folders()), disk_bytes(mounts) if mounts else 0),
            Kind("downloads", len(kept_downloads(layout)), disk_bytes(downloads) if downloads else 0),
            Kind("logs", _count(layout.logs), disk_bytes(layout.logs)),
            Kind("index", None, sum(map(disk_bytes, index))),
            Kind("in progress", None, measured([layout.tmp])[0]),
            Kind("other", None, _itself(layout.root) + sum(map(disk_bytes, elsewhere.values()))),
        ),
        own=own,
        shared=sizes.total - own,
        images=images,
        records=records,
        builds=builds,
    )


def steps(store: Parts, now: float) -> tuple[StepUsage, ...]:
    """All cached steps, the least valuable for what they take first. Raises BuildFailure."""
    bytes_of = StepBytes(store, layer_sizes(store))
    found = [step_usage(record, used, now, *bytes_of(record)) for _, used, record in store.records.all()]
    return tuple(sorted(found, key=lambda step: (step.value / max(1, step.own), step.used)))


class StepBytes:
    """What the layers of cached steps take: see `StepUsage`."""

    def __init__(self, store: Parts, sizes: LayerSizes) -> None:
        self._split = sizes.split()
        self._layers = {row.chain: store.layout.layer(row.layer).name for row in store.snapshots.rows()}
        self._blobs = blobs_of_layers(store, Marks())

    def __call__(self, record: CacheRecord) -> tuple[int, int]:
        """Own bytes, and shared ones."""
        layer = self._layers.get(record.result) if record.result is not None else None
        if layer is not None:
            return self._split.get(layer, (0, 0))
        return sum(self._blobs.get(record.diff_id or "", {}).values()), 0


def step_usage(record: CacheRecord, used: float, now: float, own: int, shared: int) -> StepUsage:
    """One cached step, with the sizes of its layer."""
    return StepUsage(
        text=record.text,
        project=record.project,
        stage=stage_of(record.address),
        own=own,
        shared=shared,
        seconds=record.seconds,
        used=used,
        value=worth(record.seconds, now - used),
    )


def stage_of(address: str) -> str:
    """The stage of a step's address, `stage/ordinal`."""
    return address.partition("/")[0]


def _itself(path: Path) -> int:
    with explained(path):
        return os.lstat(path).st_blocks * 512


def _count(path: Path) -> int:
    with explained(path):
        return len(os.listdir(path))
