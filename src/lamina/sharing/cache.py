"""The shared cache of a build: `ports.SharedCache` over the places that `--cache-from` and `--cache-to` name.

Nothing here fails a build. A place that does not answer is asked no more, and there is one warning about it at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Diagnostic
from lamina.digest import ChainID, Digest
from lamina.engine.job import chains_of
from lamina.engine.narrator import Narrator
from lamina.engine.pull import KnownLayer
from lamina.engine.request import BuildResult, SharedUse
from lamina.engine.world import Tools, World
from lamina.events import Reporter
from lamina.keys.decide import Hit
from lamina.keys.record import CacheRecord
from lamina.oci.mediatypes import layer_compression
from lamina.plan.steps import MetaOp
from lamina.ports.images import SharedStep
from lamina.registry.cacheregistry import RegistryCache
from lamina.registry.cachestore import CacheStore, failed
from lamina.report.words import size
from lamina.sharing import documents
from lamina.sharing.documents import Entry, address_name, connected, is_of, key_name
from lamina.sharing.places import CacheFrom, CacheTo, open_place, starts_threads
from lamina.sharing.send import Sender, Target, read_entries
from lamina.workshop.wire import Workshop

#: Documents that are asked for at once.
_AT_ONCE = 8
#: Layers that are fetched at once.
_AHEAD = 3

Progress = Callable[[str, int, int | None], None]


class Source(Struct, frozen=True):
    """A place to read from, and how."""

    store: CacheStore
    origin: CacheFrom


class SharedSteps:
    """A `ports.SharedCache`. Use `opened`."""

    def __init__(self, shop: Workshop, sources: Sequence[Source], sender: Sender) -> None:
        self._shop = shop
        self._sources = sources
        self._sender = sender
        self._guard = threading.Lock()
        self._places: dict[ChainID, tuple[Source, Entry]] = {}
        self._lost: set[ChainID] = set()
        self._names: dict[ChainID, str] = {}
        self._asked = False
        self._coming: dict[Digest, Future[None]] = {}
        self._listeners: dict[Digest, Progress] = {}
        self._ahead = ThreadPoolExecutor(_AHEAD, "cache-ahead")
        #: What went wrong with a place, the first of each. It is asked no more.
        self.failures: dict[str, BuildFailure] = {}
        #: Bytes that were fetched.
        self.fetched = 0

    @property
    def is_lazy(self) -> bool:
        """Whether all places are registries."""
        return all(isinstance(source.store, RegistryCache) for source in self._sources)

    def find(self, keys: Sequence[Digest]) -> Mapping[Digest, SharedStep]:
        """See `ports.SharedCache`. The first place that has a key counts."""
        asked = [(source, key) for source in self._sources for key in keys]
        if not asked:
            return {}
        # One alone at first: it finds out whether the place answers at all, and what login it wants.
        alone = 0 if self._asked else 1
        self._asked = True
        answers = [self._ask(source, key_name(key)) for source, key in asked[:alone]]
        with _threads(_AT_ONCE) as pool:
            answers += pool.map(lambda pair: self._ask(pair[0], key_name(pair[1])), asked[alone:])
        offers: dict[Digest, list[Entry]] = {}
        with self._guard:
            for (source, key), entries in zip(asked, answers, strict=True):
                for entry in entries:
                    result = entry.record.result
                    if result is not None and is_of(entry, key) and result not in self._lost:
                        offers.setdefault(key, []).append(entry)
                        self._places.setdefault(result, (source, entry))
        chosen = connected(keys, offers)
        with self._guard:
            for key, entry in chosen.items():
                if entry.record.result is not None:
                    self._names[entry.record.result] = key_name(key)
        return {key: self._shared(entry) for key, entry in chosen.items()}

    def _shared(self, entry: Entry) -> SharedStep:
        record = entry.record
        assert record.result is not None and record.diff_id is not None
        store = self._places[record.result][0].store
        if isinstance(store, RegistryCache):
            # An image that goes to a registry alone may need no more of the layer than this.
            self._shop.elsewhere[record.diff_id] = KnownLayer(entry.layer, store.reference, entry.packed)
        return SharedStep(record, entry.layer)

    def ahead(self, steps: Sequence[SharedStep]) -> None:
        """See `ports.SharedCache`. What fails here is told when the layer is brought."""
        for step in steps:
            if step.record.result is not None and step.layer.digest not in self._coming:
                source, entry = self._places[step.record.result]
                self._coming[step.layer.digest] = self._ahead.submit(self._download, source, entry, self._tell)

    def _tell(self, digest: str, done: int, total: int | None) -> None:
        """Progress of what comes ahead of its time, for who waits for it by now."""
        listener = self._listeners.get(Digest(digest))
        if listener is not None:
            listener(digest, done, total)

    def close(self) -> None:
        """Give up what is still on its way."""
        self._ahead.shutdown(cancel_futures=True)

    def bring(self, step: SharedStep, progress: Progress) -> None:
        """See `ports.SharedCache`. Raises BuildFailure; the step is not found again then."""
        record, packed = step.record, self._shop.store.layer_blobs
        assert record.result is not None and record.diff_id is not None
        source, entry = self._places[record.result]
        try:
            coming = self._coming.get(entry.layer.digest)
            if coming is not None:
                self._listeners[entry.layer.digest] = progress
                coming.result()
            self._download(source, entry, progress)  # nothing, if it has come
        except BuildFailure as failure:
            self.lost(step)
            if failure.diagnostic.reference in ("registry-unreachable", "registry-timeout"):
                self.failures.setdefault(source.store.title, failure)
            raise
        compression = entry.packed or layer_compression(entry.layer.media_type)
        packed.add(record.diff_id, compression, entry.layer, checked=False)
        self._bring_files(source, (entry,))
        self._sender.offer(record)  # for places that do not have it yet

    def lost(self, step: SharedStep) -> None:
        """See `ports.SharedCache`. Where the build may write, the entry is replaced."""
        assert step.record.result is not None
        with self._guard:
            self._lost.add(step.record.result)
        self._sender.damaged(step.record.result)

    def nearest(self, address: str) -> Sequence[CacheRecord]:
        """See `ports.SharedCache`."""
        for source in self._sources:
            entries = self._ask(source, address_name(address))
            found = [entry for entry in entries if entry.record.address == address]
            if found:
                self._bring_files(source, found)
                return [entry.record for entry in found]
        return ()

    def offer(self, record: CacheRecord) -> None:
        """See `ports.SharedCache`."""
        self._sender.offer(record)

    def used(self, results: Sequence[ChainID]) -> None:
        """Mark the steps with these results as used, where the build may also write: their age decides what goes."""
        with _threads(_AT_ONCE) as pool:
            list(pool.map(self._refresh, [result for result in results if result in self._names]))

    def _refresh(self, result: ChainID) -> None:
        source, entry = self._places[result]
        title = source.store.title
        if title in self.failures or title in self._sender.failures or not self._sender.is_for(source.origin.place):
            return
        try:
            source.store.refresh(self._names[result], entry.written)
        except BuildFailure as failure:
            self.failures.setdefault(title, failure)
        except Exception as error:  # whatever it is, the build is none the worse for it
            self.failures.setdefault(title, failed(title, "be written", repr(error)))

    def _ask(self, source: Source, name: str) -> tuple[Entry, ...]:
        if source.store.title in self.failures:
            return ()
        try:
            return read_entries(source.store, name, source.origin.secret)
        except BuildFailure as failure:
            self.failures.setdefault(source.store.title, failure)
        except Exception as error:  # whatever it is, the build is none the worse for it
            self.failures.setdefault(source.store.title, failed(source.store.title, "be read", repr(error)))
        return ()

    # --- layers ------------------------------------------------------------------------------------------------------
    def _download(self, source: Source, entry: Entry, progress: Progress) -> None:
        """Have the layer's blob in the store."""
        blobs, layer, done = self._shop.store.blobs, entry.layer, 0
        with self._shop.store.locks.hold(f"fetch-{layer.digest.partition(':')[2]}"):
            if blobs.has(layer.digest):
                return
            with source.store.fetch(layer) as chunks, blobs.writer(layer.digest, layer.size) as writer:
                for chunk in chunks:
                    done += writer.write(chunk)
                    progress(layer.digest, done, layer.size)
                writer.commit()
        with self._guard:
            self.fetched += layer.size

    def _bring_files(self, source: Source, entries: Sequence[Entry]) -> None:
        """Keep the lists of files of steps, for explanations; it does not matter if that fails."""
        facts = self._shop.store.facts
        for digest, blob in ((digest, blob) for entry in entries for digest, blob in entry.files.items()):
            with suppress(BuildFailure, ValueError):
                if facts.get(digest) is None:
                    with source.store.fetch(blob) as chunks:
                        data = b"".join(chunks)
                    facts.put(digest, documents.unpack_files(data, digest))
                    with self._guard:
                        self.fetched += blob.size


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that are gone after the block: the process may have to enter its namespaces then, and only can alone.
    The kernel lists a thread for a moment after it was joined."""
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    with ThreadPoolExecutor(count, "cache-from") as pool:
        yield pool
    deadline = time.monotonic() + 1
    while before == 1 and len(list(tasks.iterdir())) > before and time.monotonic() < deadline:
        time.sleep(0.0005)


class Shared:
    """What a build does with its shared cache: give it to its world, and tell it when it is over."""

    def __init__(self, shop: Workshop, steps: SharedSteps, sender: Sender, reporter: Reporter) -> None:
        self._shop = shop
        self._steps = steps
        self._sender = sender
        self._reporter = reporter
        self._finished = False

    @property
    def is_lazy(self) -> bool:
        """Whether layers may be left where they are: registries take them over from each other's repositories."""
        return self._steps.is_lazy

    def attached(self, world: World) -> World:
        """The world with the shared cache, whose writing begins when steps are about to run."""

        def start() -> Tools:
            tools = world.start()
            _ = self._shop.rung
            self._sender.start()
            return tools

        return replace(world, shared=self._steps, start=start)

    def finish(self, results: Sequence[BuildResult]) -> SharedUse:
        """Wait until all is written. `results` are those of the build, for all platforms, none if it failed."""
        chains = [chain for result in results for chain in chains_of(result.config)]
        if self._sender.has_work and not self._finished:
            self._finished = True
            narrator = Narrator(self._reporter)
            with narrator.job("exporting to the shared cache") as vertex:
                self._sender.finish(chains if results else None)
                narrator.note(vertex, f"{self._sender.written} steps written, {size(self._sender.sent)} sent")
        steps = [
            step
            for result in results
            for stage in result.stages
            for step in stage.steps
            if not isinstance(step.step.op, MetaOp)
        ]
        hits = [step for step in steps if isinstance(step.decision, Hit) and step.decision.origin == "shared"]
        if results:
            self._tend([step.record.result for step in hits if step.record is not None and step.record.result])
        return SharedUse(
            hits=len(hits),
            steps=len(steps),
            fetched=self._steps.fetched,
            saved=sum(step.record.seconds for step in hits if step.record is not None),
            written=self._sender.written,
            sent=self._sender.sent,
        )

    def _tend(self, used: Sequence[ChainID]) -> None:
        """What writers do for the place when a build is done."""
        if used:
            self._steps.used(used)
        if self._sender.has_limits:
            _ = self._shop.rung  # there are threads from now on
            for title, gone in self._sender.clear_away().items():
                narrator = Narrator(self._reporter)
                with narrator.job(f"clearing away in the shared cache {title}") as vertex:
                    narrator.note(vertex, f"{gone.steps} steps removed, {size(gone.bytes)}; {size(gone.left)} left")

    def warn(self) -> None:
        """Tell what went wrong with the places, once each."""
        for title, failure in {**self._sender.failures, **self._steps.failures}.items():
            plain = failure.diagnostic
            why = f" ({plain.cause})" if plain.cause else ""
            told = f"the shared cache {title} is left aside: {plain.message}{why}"
            warning: Diagnostic = replace(failure.diagnostic, severity="warning", message=told)
            self._reporter.warning(warning)


@contextmanager
def opened(
    cache_from: Sequence[CacheFrom], cache_to: Sequence[CacheTo], shop: Workshop, reporter: Reporter
) -> Iterator[Shared]:
    """The shared cache for the length of a build. What a build that fails has made until then is written, too.

    Raises BuildFailure `usage-cache` for a place that cannot be opened on this machine.
    """
    documents.prepare()
    places = [*(one.place for one in cache_from), *(one.place for one in cache_to)]
    if any(map(starts_threads, places)):
        _ = shop.rung
    sources = [Source(open_place(one.place, one.timeout, shop.session), one) for one in cache_from]
    targets = [Target(open_place(one.place, one.timeout, shop.session), one) for one in cache_to]
    sender = Sender(shop, targets)
    steps = SharedSteps(shop, sources, sender)
    shared = Shared(shop, steps, sender, reporter)
    told = True
    try:
        yield shared
    except BuildFailure:
        shared.finish(())
        raise
    except KeyboardInterrupt:
        told = False  # what fails now was cut off by the user
        raise
    finally:
        steps.close()
        sender.stop()
        if told:
            shared.warn()
