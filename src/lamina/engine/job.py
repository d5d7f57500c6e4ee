"""What the walks of one build share: the request, the world, resolved images, locks, and the way to stop."""

from __future__ import annotations

import threading

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Span
from lamina.digest import ChainID, DiffID, Digest, chain_id, digest_of
from lamina.engine.inputs import Inputs
from lamina.engine.narrator import Narrator
from lamina.engine.request import BuildRequest
from lamina.engine.world import World
from lamina.keys.compute import base_key
from lamina.keys.record import CacheRecord
from lamina.oci.config import ImageConfig
from lamina.plan.remote import shown
from lamina.plan.steps import GitSource, HttpSource, ImageRef, Plan, Stage
from lamina.ports.images import BaseImage
from lamina.ports.sources import Fetched


class Canceled(Exception):
    """Another stage failed first, or the user interrupted: unwinds a walk without a message of its own."""


class LayerLost(Exception):
    """A layer that a cached step promised, here or in the shared cache, is not to be had: the build begins anew without
    it."""

    def __init__(self, failure: BuildFailure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def is_of_content(failure: BuildFailure) -> bool:
    """Whether a layer could not be unpacked for what its blob is, rather than for want of room."""
    reference = failure.diagnostic.reference
    return reference.startswith(("image-", "store-blob-")) and reference != "image-unpack-failed"


class Below(Struct, frozen=True):
    """A layer that a step stands on; `copied` is the record of the COPY or ADD that made it."""

    diff_id: DiffID
    copied: CacheRecord | None = None


class Job:
    """One build at work. `slots` bounds the steps that run at once; waiting for another stage takes no slot."""

    def __init__(
        self, request: BuildRequest, world: World, narrator: Narrator, plan: Plan, images: dict[ImageRef, BaseImage]
    ) -> None:
        self.request = request
        self.world = world
        self.narrator = narrator
        self.plan = plan
        self.images = images
        self.slots = threading.Semaphore(max(1, request.jobs))
        #: The digests of base images by their keys: what a first step's key names as its parent.
        self.bases: dict[Digest, Digest] = {}
        #: What steps read, by stage and ordinal, as far as it was looked at: it does not change during a build.
        self.inputs: dict[tuple[int, int], Inputs] = {}
        #: Whether RUN steps are observed.
        self.observes = request.observe
        self._texts: dict[int, frozenset[str]] = {}
        self._canceled = threading.Event()
        self._fetching = threading.Lock()
        self._fetched: dict[HttpSource | GitSource, Fetched] = {}

    def cancel(self) -> None:
        self._canceled.set()

    def check(self) -> None:
        """Raises Canceled once the build is to stop."""
        if self._canceled.is_set():
            raise Canceled

    def forced(self, stage: str) -> bool:
        """Whether the user wants the steps of this stage to run, cached or not."""
        return self.request.no_cache or stage in self.request.no_cache_stages

    def stop_observing(self, failure: BuildFailure) -> None:
        """Steps cannot be observed here: say so once."""
        if self.observes:
            self.observes = False
            self.narrator.warning(replace(failure.diagnostic, severity="warning"))

    def base_key(self, stage: Stage) -> Digest:
        """The key of a stage's FROM, an image or scratch."""
        digest = self.images[stage.base].digest if isinstance(stage.base, ImageRef) else None
        key = base_key(digest, stage.platform).digest
        self.bases[key] = digest or Digest("scratch")
        return key

    def texts(self, stage: Stage) -> frozenset[str]:
        """All instructions of a stage, as they are written."""
        found = self._texts.get(stage.index)
        if found is None:
            found = self._texts[stage.index] = frozenset(step.text for step in stage.steps)
        return found

    def fetch(self, image: BaseImage, name: str, span: Span | None, *, unpacked: bool = True) -> None:
        """Have an image's layers in the store, as directories if they are to be `unpacked`."""
        with self._fetching, self.narrator.job(name, span) as vertex:
            bring = self.world.images.ensure if unpacked else self.world.images.fetch
            bring(image, self.narrator.progress(vertex))

    def fetched(self, source: HttpSource | GitSource, span: Span) -> Fetched:
        """What ADD names by URL; asked for once a build, so that all its steps see the same."""
        with self.world.locks.hold(f"fetch-{digest_of(source.url.encode()).partition(':')[2]}"):
            if source not in self._fetched:
                with self.narrator.job(f"[internal] fetch {shown(source.url)}", span):
                    fetcher = self.world.fetcher
                    found = fetcher.http(source) if isinstance(source, HttpSource) else fetcher.git(source)
                self._fetched[source] = found
            return self._fetched[source]


def chains_of(config: ImageConfig) -> list[ChainID]:
    """The chain IDs of an image's layers, lowest first."""
    chains: list[ChainID] = []
    for diff_id in config.rootfs.diff_ids:
        chains.append(chain_id(chains[-1] if chains else None, diff_id))
    return chains


def chain_of(config: ImageConfig) -> ChainID | None:
    """The top of an image's stack; None for an image without layers."""
    return chains_of(config)[-1] if config.rootfs.diff_ids else None
