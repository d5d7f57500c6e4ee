"""A sample of `./dev test-truth --observed`: some projects, edited a few times, with their steps observed.

The image is that of a build without a cache that observes nothing; what is foretold to be cached is cached.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.truth.chain import make_store
from tests.truth.observed import ObservedChain


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Path:
    """A store with the images that the projects stand on, to be copied."""
    root = tmp_path_factory.mktemp("observed") / "store"
    make_store(root, busybox_tar)
    return root


@pytest.mark.parametrize("seed", range(0, 20, 2))
def test_an_observed_build_gives_what_one_without_a_cache_gives(seed: int, store: Path, tmp_path: Path) -> None:
    chain = ObservedChain(tmp_path, store, seed)
    chain.run(2)
    assert not chain.wrong, "\n".join(chain.told)
    assert chain.tally["images"] + chain.tally["failing"] == 3
