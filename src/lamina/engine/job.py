"""What the walks of one build share: the request, the world, resolved images, locks, and the way to stop."""

from __future__ import annotations

import threading

from lamina.diagnostics import Span
from lamina.digest import ChainID, chain_id
from lamina.engine.narrator import Narrator
from lamina.engine.request import BuildRequest
from lamina.engine.world import World
from lamina.oci.config import ImageConfig
from lamina.plan.steps import ImageRef, Plan
from lamina.ports import BaseImage


class Canceled(Exception):
    """Another stage failed first, or the user interrupted: unwinds a walk without a message of its own."""


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
        self._canceled = threading.Event()
        self._fetching = threading.Lock()

    def cancel(self) -> None:
        self._canceled.set()

    def check(self) -> None:
        """Raises Canceled once the build is to stop."""
        if self._canceled.is_set():
            raise Canceled

    def fetch(self, image: BaseImage, name: str, span: Span | None) -> ChainID | None:
        """Have an image's layers in the store; returns the top of its stack."""
        with self._fetching, self.narrator.job(name, span) as vertex:
            return self.world.images.ensure(image, self.narrator.progress(vertex))


def chains_of(config: ImageConfig) -> list[ChainID]:
    """The chain IDs of an image's layers, lowest first."""
    chains: list[ChainID] = []
    for diff_id in config.rootfs.diff_ids:
        chains.append(chain_id(chains[-1] if chains else None, diff_id))
    return chains


def chain_of(config: ImageConfig) -> ChainID | None:
    """The top of an image's stack; None for an image without layers."""
    return chains_of(config)[-1] if config.rootfs.diff_ids else None
