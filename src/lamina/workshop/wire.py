"""The one place where adapters meet the engine: an open store and what works on it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lamina import __version__
from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID
from lamina.engine.pull import Images, KnownLayer
from lamina.engine.world import Tools, World
from lamina.keys.looks import Look
from lamina.plan.steps import GitSource, HttpSource
from lamina.ports.images import ImageSource, LayerUnpacker, Registry
from lamina.ports.running import Runner, RunSpec, Watched
from lamina.ports.sources import ContextReader, Fetched, Fetcher
from lamina.store.cachemounts import CacheMounts
from lamina.store.catalog import StoreCatalog
from lamina.store.store import Store

if TYPE_CHECKING:
    from lamina.registry.session import Session
    from lamina.runtime.namespace import Rung


class Workshop:
    """One command's open store with everything that may be needed around it, made when it is first asked for."""

    def __init__(self, store: Store, runtime: str) -> None:
        self.store = store
        self._runtime = runtime
        #: Layers that the shared cache has and the store has not, as far as this command found them.
        self.elsewhere: dict[DiffID, KnownLayer] = {}

    @cached_property
    def catalog(self) -> StoreCatalog:
        return StoreCatalog(self.store.images, self.store.blobs, self.store.layer_blobs)

    @cached_property
    def rung(self) -> Rung:
        """This process made ready to read and write layers: it enters its namespaces. Before any thread exists."""
        from lamina.runtime.namespace import enter

        return enter()

    def start(self) -> Tools:
        """What carries out steps; see `World.start`."""
        from lamina.image.layerio import Layers

        return Tools(runner=LateRunner(self._runtime), layers=Layers(self.rung.xattr))

    @cached_property
    def images(self) -> Images:
        return Images(
            catalog=self.catalog,
            blobs=self.store.blobs,
            packed=self.store.layer_blobs,
            snapshots=self.store.snapshots,
            locks=self.store.locks,
            registry=lambda: self.registry,
            unpacker=lambda: self.unpacker,
            elsewhere=self.known_layers,
            made=self.store.records.is_result,
        )

    def known_layers(self) -> dict[DiffID, KnownLayer]:
        """Layers that registries have. Reads all images."""
        from lamina.workshop.knownlayers import known_layers  # here, because most commands have all that they need

        return {**known_layers(self.store, self.catalog), **self.elsewhere}

    @cached_property
    def unpacker(self) -> LayerUnpacker:
        from lamina.image.unpack import Unpacker

        return Unpacker(self.rung.xattr, keep_owners=self.rung.name != "rootless-single")

    @cached_property
    def session(self) -> Session:
        """What talks to registries, and remembers where blobs are."""
        from lamina.workshop.registries import make_session

        return make_session(os.environ, __version__, self.store.layout.root / "seen")

    @cached_property
    def registry(self) -> Registry:
        from lamina.registry.client import RegistryClient

        return RegistryClient(self.session)

    @cached_property
    def fetcher(self) -> Fetcher:
        from lamina.context.fetch import Downloads

        return Downloads(self.store.layout.downloads, f"lamina/{__version__}", os.environ)

    def world(
        self,
        context: ContextReader,
        contexts: Mapping[str, ContextReader] | None = None,
        images: ImageSource | None = None,
        cache_mount_root: Path | None = None,
    ) -> World:
        """What a build works with. `contexts` are the named ones; `images` is where FROM looks, by default the store
        and registries; `cache_mount_root` is where cache mounts are, by default in the store."""
        store = self.store
        return World(
            blobs=store.blobs,
            snapshots=store.snapshots,
            index=store.records,
            facts=store.facts,
            locks=store.locks,
            catalog=self.catalog,
            context=context,
            images=images or self.images,
            fetcher=LateFetcher(self),
            cache_mounts=CacheMounts(cache_mount_root or store.layout.cache_mounts),
            observer=LateObserver(),
            observations=store.observations,
            contexts=contexts or {},
            start=self.start,
            now=time.time,
            peek=_peek,
            answers=_answers,
            version=__version__,
        )


def _peek(layer: Path, path: str, limit: int) -> bytes | None:
    from lamina.image.peek import peek  # here, because a build in which nothing changed looks into no layer

    return peek(layer, path, limit)


def _answers(layer: Path, looks: Sequence[Look], contents: Mapping[str, str]) -> bytes | None:
    from lamina.image.answers import answers

    try:
        return answers(layer, looks, contents, "trusted" if os.geteuid() == 0 else "user")
    except BuildFailure:
        return None


class LateObserver:
    """`ports.Observer`, looked for when a step is to be observed."""

    def watch(self, layers: Sequence[Path], scratch: Path) -> AbstractContextManager[Watched]:
        from lamina.runtime.observer import FuseObserver

        return FuseObserver().watch(layers, scratch)


class LateFetcher:
    """`ports.Fetcher`, made when something is to be fetched."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop

    def http(self, source: HttpSource) -> Fetched:
        return self._shop.fetcher.http(source)

    def git(self, source: GitSource) -> Fetched:
        return self._shop.fetcher.git(source)


class LateRunner:
    """`ports.Runner`, chosen when the first step runs: a build without RUN needs no program to run steps with."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._runner: Runner | None = None

    @property
    def name(self) -> str:
        return self._chosen().name

    def run(self, spec: RunSpec, output: Callable[[int, bytes], None]) -> int:
        return self._chosen().run(spec, output)

    def stop(self) -> None:
        if self._runner is not None:
            self._runner.stop()

    def _chosen(self) -> Runner:
        from lamina.runtime.select import choose

        with self._lock:
            self._runner = self._runner or choose(self._wanted)
            return self._runner


@contextmanager
def workshop(
    root: Path, runtime: str = "auto", *, make_room: bool = False, max_size: int | None = None
) -> Iterator[Workshop]:
    """Open the store at `root` for the length of a block; `make_room` lets it open on a full disk, to be pruned;
    `max_size` is its limit in bytes, by default what the store itself says.

    Raises BuildFailure `store-…`.
    """

    def verify(layer: Path) -> DiffID:
        from lamina.image.diff import diff

        return diff(layer, shop.rung.xattr).diff_id

    with Store.open(root, verify=verify, make_room=make_room, max_size=max_size) as store:
        shop = Workshop(store, runtime)
        yield shop
        store.settle()
