"""The layers of a project's last builds, as `advise` asks for them: by the text of a step, and read only then."""

from __future__ import annotations

from pathlib import Path

from lamina.advise.recorded import Recorded
from lamina.advise.scene import Layers
from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID
from lamina.workshop.chosen import story_of
from lamina.workshop.wire import Workshop

#: So many of the project's last builds are looked at.
_BUILDS = 5


def layers_in(shop: Workshop, project: str) -> Layers:
    """See `Layers`: those of the newest of the last builds that has the step, and whose layers are all there. What is
    returned may be asked when the store is closed."""
    stages: dict[tuple[ChainID, tuple[str, ...]], list[Path]] = {}
    for build in shop.store.builds.last(_BUILDS, project):
        story = story_of(shop, build)
        for stage in story.stages if story is not None else ():
            texts = tuple(step.text for step in stage.steps if step.diff_id is not None)
            if stage.chain is not None and (stage.chain, texts) not in stages:
                stages[stage.chain, texts] = _directories(shop, stage.chain)
    known: dict[ChainID, Recorded | None] = {}

    def layers(text: str) -> Recorded | None:
        for (chain, texts), paths in stages.items():
            if text in texts and len(paths) >= len(texts):
                if chain not in known:
                    known[chain] = _recorded(shop, texts, paths)
                if known[chain] is not None:
                    return known[chain]
        return None

    return layers


def _directories(shop: Workshop, chain: ChainID | None) -> list[Path]:
    """The layer directories of a stack, lowest first; none if some are gone."""
    found: list[Path] = []
    while chain is not None:
        snapshot = shop.store.snapshots.get(chain)
        if snapshot is None:
            return []
        found.append(snapshot.layer)
        chain = snapshot.parent
    return found[::-1]


def _recorded(shop: Workshop, texts: tuple[str, ...], paths: list[Path]) -> Recorded | None:
    from lamina.image.inventory import inventory

    base = len(paths) - len(texts)
    try:
        found = inventory(paths, shop.rung.xattr)
        return Recorded(texts, base, tuple(one for one in found if any(change.layer >= base for change in one.changes)))
    except BuildFailure:
        return None  # a layer that went meanwhile
