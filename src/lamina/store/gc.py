"""Garbage collection: what nothing reaches goes at once; cached steps go by age, project and stage, and by value or age
until the store is small enough."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection
from contextlib import nullcontext, suppress
from pathlib import Path

from msgspec import Struct

from lamina.keys.record import CacheRecord
from lamina.store import reserve
from lamina.store.builds import Build
from lamina.store.cachemounts import CacheMounts
from lamina.store.choose import Entry, Forest, Order, Weights, facts_of
from lamina.store.downloads import kept_downloads
from lamina.store.failures import explained
from lamina.store.limit import recount
from lamina.store.mark import mark
from lamina.store.measure import disk_bytes
from lamina.store.parts import Parts
from lamina.store.snapshots import Row
from lamina.store.sweep import Lost, blobs_of_layers, delete_files, delete_rows, files_of, find_lost
from lamina.store.usage import StepBytes, StepUsage, layer_sizes, stage_of, step_usage
from lamina.store.usage import usage as usage

#: Builds of one project that are remembered, with their logs.
BUILDS = 100


class Wanted(Struct, frozen=True):
    """What to prune besides garbage. With `older_than` (seconds since the epoch), `project` or `stage`: cached steps
    that match all of them. With `max_size` (bytes on the disk): of those (of all, if there is no other wish) the least
    valuable or the longest unused until the whole store is that small. `project` is the real path of a context, or the
    project as records have it; `cache_mounts` adds the cache mounts that no step uses now."""

    older_than: float | None = None
    max_size: int | None = None
    project: str | None = None
    stage: str | None = None
    order: Order = "value"
    cache_mounts: bool = False

    @property
    def narrow(self) -> bool:
        return self.project is not None or self.stage is not None

    def matches(self, used: float, record: CacheRecord) -> bool:
        return (
            (self.older_than is None or used < self.older_than)
            and (
                self.project is None or record.project == self.project or record.project.startswith(self.project + ":")
            )
            and (self.stage is None or stage_of(record.address) == self.stage)
        )


class Pruned(Struct, frozen=True):
    """What was deleted, or would be. `bytes` on the disk; `left` is what the store takes afterwards, but for the index,
    which keeps its size and uses the room again."""

    steps: tuple[StepUsage, ...]
    images: int
    layers: int
    blobs: int
    facts: int
    builds: int
    downloads: int
    cache_mounts: int
    bytes: int
    left: int

    @property
    def records(self) -> int:
        return len(self.steps)


def prune(store: Parts, wanted: Wanted | None = None, *, dry_run: bool = False) -> Pruned:
    """Delete images without a name, all that nothing reaches, builds beyond the newest 100 of a project with their
    logs, and what is `wanted`. What a named image needs always stays.

    With `older_than` and no project or stage, builds from before are forgotten too, and downloads last used before.
    Where `max_size` cannot be met by cached steps, the oldest builds go, with the lists of files that only they name.

    Raises BuildFailure `store-busy` if other processes use the store.
    """
    with nullcontext() if dry_run else store.alone():
        if not dry_run:
            reserve.release(store.layout)
            store.records.flush()
        plan = _Plan(store, wanted or Wanted())
        if not dry_run:
            plan.carry_out()
            reserve.hold(store.layout)
            recount(store.layout, store.index, plan.layers_left)
        return plan.pruned


class _Plan:
    """Everything that goes, decided before anything does: a dry run is the plan without its execution."""

    def __init__(self, store: Parts, wanted: Wanted) -> None:
        self._store = store
        self._wanted = wanted
        self._now = time.time()
        self._entries = store.records.all()
        images = store.images.list()
        self._named = [image for image in images if image.names]
        rows = store.snapshots.rows()
        self._layers = {row.chain: self._name(row.layer) for row in rows}
        self._sizes = layer_sizes(store)
        self._split = self._sizes.split()
        self._bytes_of = StepBytes(store, self._sizes)
        #: Layer directories that no row names.
        self._orphans = self._split.keys() - self._layers.values()
        self._facts = dict(files_of(store.layout.facts)) | dict(files_of(store.layout.looks))
        # --- what goes by its age alone
        self._cutoff = -math.inf if wanted.older_than is None or wanted.narrow else wanted.older_than
        self._gone, self._kept = self._choose_builds()
        self._downloads = [one for one in kept_downloads(store.layout) if one.used < self._cutoff]
        mounts = CacheMounts(store.layout.cache_mounts)
        self._folders = mounts.unused(unused_since=wanted.older_than) if wanted.cache_mounts else ()
        self._beside = sum(one.size for one in self._downloads) + sum(one.size() for one in self._folders)
        # --- what goes by its value
        found = usage(store, self._sizes)
        # What is in progress is none of the store's; the reserve is, and was given up only to make room for deleting.
        taken = found.total - found.of("in progress") + (0 if store.layout.reserve.exists() else reserve.RESERVE_BYTES)
        self._dropped = self._choose_records(rows, taken)
        self._lost = self._find_lost(self._dropped)
        if wanted.max_size is not None and not wanted.narrow:
            self._give_up_builds(taken - self._bytes(self._lost) - wanted.max_size)
            self._lost = self._find_lost(self._dropped)
        #: What the layers that stay take.
        self.layers_left = self._sizes.total - self._sizes.freed(self._names(self._lost))
        freed, gone = self._bytes(self._lost), set(self._dropped)
        self.pruned = Pruned(
            steps=tuple(self._step(entry) for entry in self._entries if entry[0] in gone),
            images=len(images) - len(self._named),
            layers=len(self._lost.layers) + len(self._orphans),
            blobs=len(self._lost.blobs),
            facts=len(self._lost.facts),
            builds=len(self._gone),
            downloads=len(self._downloads),
            cache_mounts=len(self._folders),
            bytes=freed,
            left=max(0, taken - freed),
        )

    # --- choosing ----------------------------------------------------------------------------------------------------
    def _choose_builds(self) -> tuple[list[Build], list[Build]]:
        """The builds that go in any case, and the others."""
        counts: Counter[str] = Counter()
        gone: list[Build] = []
        kept: list[Build] = []
        for build in self._store.builds.newest():
            counts[build.project] += 1
            (gone if counts[build.project] > BUILDS or build.started < self._cutoff else kept).append(build)
        return gone, kept

    def _choose_records(self, rows: list[Row], taken: int) -> list[int]:
        """Row numbers. Marking again after each choice would be quadratic, so the forest counts by reference."""
        wanted = self._wanted
        matching = {number for number, used, record in self._entries if wanted.matches(used, record)}
        if wanted.max_size is None:
            return sorted(matching) if wanted.older_than is not None or wanted.narrow else []
        forest = self._forest(rows, matching)
        while True:
            excess = taken - self._bytes(self._find_lost(forest.dropped)) - wanted.max_size
            if excess <= 0 or not forest.drop(excess):
                return forest.dropped

    def _forest(self, rows: list[Row], matching: set[int]) -> Forest:
        held = mark(self._store, self._named, [], facts=())
        weights = Weights(
            layers={row.layer: self._split.get(self._name(row.layer), (0, 0))[0] for row in rows},
            blobs=blobs_of_layers(self._store, held),
            facts=self._facts,
            held=[digest for build in self._kept for digest in build.facts],
        )
        return Forest(
            rows,
            self._entries,
            weights,
            keep=held.chains,
            now=self._now,
            may_go=lambda entry: entry[0] in matching,
            order=self._wanted.order,
        )

    def _give_up_builds(self, excess: int) -> None:
        """The oldest, as few as free `excess` bytes, go with the lists of files that only they name."""
        gone = set(self._dropped)
        named = {digest for number, _, record in self._entries if number not in gone for digest in facts_of(record)}
        uses = Counter(digest for build in self._kept for digest in set(build.facts) - named)
        freed = 0
        for build in sorted(self._kept, key=lambda one: one.started):
            if freed >= excess and build.started >= self._cutoff:
                break
            self._cutoff = math.nextafter(build.started, math.inf)
            self._kept.remove(build)
            self._gone.append(build)
            freed += self._log_bytes(build)
            uses.subtract(set(build.facts) - named)
            freed += sum(self._facts.get(digest, 0) for digest in set(build.facts) - named if not uses[digest])

    # --- counting ----------------------------------------------------------------------------------------------------
    def _find_lost(self, dropped: Collection[int]) -> Lost:
        gone = set(dropped)
        records = [record for number, _, record in self._entries if number not in gone]
        facts = {digest for build in self._kept for digest in build.facts}
        return find_lost(self._store, mark(self._store, self._named, records, facts=facts))

    def _bytes(self, lost: Lost) -> int:
        files = sum(sum(sizes.values()) for sizes in (lost.blobs, lost.facts, lost.looks))
        return self._sizes.freed(self._names(lost)) + files + sum(map(self._log_bytes, self._gone)) + self._beside

    def _names(self, lost: Lost) -> set[str]:
        """The layer directories that go."""
        return {self._name(layer) for layer in lost.layers} | self._orphans

    def _log_bytes(self, build: Build) -> int:
        return disk_bytes(self._store.layout.logs / Path(build.log).name) if build.log else 0

    def _name(self, layer: int) -> str:
        return self._store.layout.layer(layer).name

    def _step(self, entry: Entry) -> StepUsage:
        _, used, record = entry
        return step_usage(record, used, self._now, *self._bytes_of(record))

    # --- doing -------------------------------------------------------------------------------------------------------
    def carry_out(self) -> None:
        store = self._store
        layers = delete_rows(store, self._lost, self._dropped)
        store.images.forget_nameless()
        for name in (*store.builds.trim(BUILDS), *store.builds.forget(self._cutoff)):
            with explained(store.layout.logs), suppress(FileNotFoundError):
                (store.layout.logs / Path(name).name).unlink()
        delete_files(store, self._lost, layers)
        for name in self._orphans:
            store.session.discard(store.layout.layers / name)
        for download in self._downloads:
            store.session.discard(download.path)
        if self._wanted.cache_mounts:
            CacheMounts(store.layout.cache_mounts).delete(unused_since=self._wanted.older_than)
