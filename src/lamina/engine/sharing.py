"""The shared cache as a build asks it: few requests, nothing fetched before somebody needs the files.

A step that another machine built is known by its record alone at first: its chain ID is all that keys need. Its layer
is brought into the store, as a blob, when a later step must run on it, or the image gets a name here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, Digest
from lamina.engine.decision import Keyed
from lamina.engine.job import Job, LayerLost
from lamina.keys.decide import Hit, How
from lamina.keys.outcome import StepResult
from lamina.ports.images import SharedCache, SharedStep


class Sharing:
    """One build's view of the shared cache: what was asked, and what is known of but not in the store."""

    def __init__(self, cache: SharedCache) -> None:
        self.cache = cache
        self._known: dict[Digest, SharedStep | None] = {}
        self._lazy: dict[ChainID, SharedStep] = {}
        self._brought: dict[ChainID, SharedStep] = {}
        self._guard = threading.Lock()

    def look_up(self, wanted: Keyed, chain: ChainID | None, ahead: Callable[[], Sequence[Digest]]) -> Hit | None:
        """The step, if the cache has it on top of exactly this stack. `ahead` gives the keys of the steps that follow,
        to be asked for in the same round."""
        ways: tuple[tuple[How, Digest], ...] = (("definition", wanted.key.digest), ("content", wanted.content_key))
        with self._guard:
            for how, key in ways:
                if key not in self._known:
                    asked = [one for one in (*(key for _, key in ways), *ahead()) if one not in self._known]
                    self._known.update(dict.fromkeys(asked))
                    self._known.update(self.cache.find(asked))
                step = self._known[key]
                if step is not None and step.record.parent == chain and step.record.result is not None:
                    self._lazy[step.record.result] = step
                    return Hit(step.record, how, origin="shared")
        return None

    def is_away(self, step: StepResult) -> bool:
        """Whether a step's layer has not been brought yet."""
        return step.record is not None and step.record.result in self._lazy

    def ahead(self, chains: Sequence[ChainID], job: Job) -> None:
        """Begin to fetch the layers of these chains that are about to be brought."""
        with self._guard:
            away = [self._lazy[chain] for chain in chains if chain in self._lazy]
            self.cache.ahead(
                [one for one in away if one.record.result and not job.world.snapshots.get(one.record.result)]
            )

    def bring(self, chain: ChainID, job: Job) -> None:
        """Have the blob of a chain's layer in the store, if it is in the shared cache. Raises LayerLost."""
        with self._guard:
            step = self._lazy.pop(chain, None)
            if step is None or job.world.snapshots.get(chain) is not None:
                return
            try:
                with job.narrator.job(f"[internal] fetch from the shared cache: {step.record.text}") as vertex:
                    self.cache.bring(step, job.narrator.progress(vertex))
            except BuildFailure as failure:
                raise LayerLost(failure) from failure
            self._brought[chain] = step
            job.world.index.add(replace(step.record, project=job.request.project))

    def lost(self, chain: ChainID) -> None:
        """The layer of a chain is not what it should be: if it was brought, it is not to be brought again."""
        with self._guard:
            step = self._brought.get(chain)
            if step is not None:
                self.cache.lost(step)
