"""The one place where adapters meet the engine: an open store and what works on it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from lamina import __version__
from lamina.engine.pull import Images
from lamina.engine.world import Tools, World
from lamina.ports import ContextReader, LayerUnpacker, Registry
from lamina.store.catalog import StoreCatalog
from lamina.store.store import Store


class Workshop:
    """One command's open store with everything that may be needed around it, made when it is first asked for."""

    def __init__(self, store: Store, runtime: str) -> None:
        self.store = store
        self._runtime = runtime

    @cached_property
    def catalog(self) -> StoreCatalog:
        return StoreCatalog(self.store.images, self.store.blobs)

    @cached_property
    def tools(self) -> Tools:
        """The process made ready to write layers: it enters its namespaces. Before any thread exists."""
        from lamina.image.layerio import Layers
        from lamina.runtime.namespace import enter
        from lamina.runtime.select import choose

        rung = enter()
        return Tools(runner=choose(self._runtime), layers=Layers(rung.xattr))

    @cached_property
    def images(self) -> Images:
        return Images(
            self.catalog,
            self.store.blobs,
            self.store.snapshots,
            self.store.locks,
            lambda: self.registry,
            lambda: self.unpacker,
        )

    @cached_property
    def unpacker(self) -> LayerUnpacker:
        from lamina.image.unpack import Unpacker
        from lamina.runtime.namespace import enter

        return Unpacker(enter().xattr)

    @cached_property
    def registry(self) -> Registry:
        from lamina.cli.registries import make_client

        return make_client(os.environ, __version__)

    def world(self, context: ContextReader) -> World:
        store = self.store
        return World(
            blobs=store.blobs,
            snapshots=store.snapshots,
            index=store.records,
            facts=store.facts,
            locks=store.locks,
            catalog=self.catalog,
            context=context,
            images=self.images,
            start=lambda: self.tools,
            now=time.time,
            version=__version__,
        )


@contextmanager
def workshop(root: Path, runtime: str = "auto") -> Iterator[Workshop]:
    """Open the store at `root` for the length of a block. Raises BuildFailure `store-…`."""
    with Store.open(root, verify=_verify) as store:
        yield Workshop(store, runtime)
        store.settle()


def _verify(layer: Path) -> str:
    from lamina.image.diff import diff

    return diff(layer).diff_id
