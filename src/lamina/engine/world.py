"""Everything that the engine works with, joined by `workshop/wire.py` (or by a test)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from lamina.keys.looks import Look
from lamina.ports.images import Catalog, ImageSource, SharedCache
from lamina.ports.layers import LayerIO
from lamina.ports.running import CacheMounts, Observer, Runner
from lamina.ports.sources import ContextReader, Fetcher
from lamina.ports.storing import BlobStore, CacheIndex, FactStore, Locks, ObservationStore, Snapshotter


class Tools(Struct, frozen=True):
    """What carries out steps, there once this process has been made ready to write layers."""

    runner: Runner
    layers: LayerIO


class World(Struct, frozen=True):
    """The ports. `start` makes this process ready to write layers and gives the tools; it is called once, in the main
    thread, before any other thread exists, and only if some step has to run. `now` is seconds since the epoch.
    `peek` gives the bytes of a regular file of a layer's directory by its path there, if it is at most so many bytes
    long; `answers` is that of `LayerIO` for a process that was not made ready, None where it cannot read. `shared` is a
    cache that machines share. `contexts` are the named build contexts that are trees, by name in lower case."""

    blobs: BlobStore
    snapshots: Snapshotter
    index: CacheIndex
    facts: FactStore
    locks: Locks
    catalog: Catalog
    context: ContextReader
    images: ImageSource
    fetcher: Fetcher
    cache_mounts: CacheMounts
    observer: Observer
    observations: ObservationStore
    start: Callable[[], Tools]
    now: Callable[[], float]
    peek: Callable[[Path, str, int], bytes | None]
    answers: Callable[[Path, Sequence[Look], Mapping[str, str]], bytes | None]
    version: str
    shared: SharedCache | None = None
    contexts: Mapping[str, ContextReader] = {}
