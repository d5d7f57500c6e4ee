"""A sample of `./dev test-truth`: each project, edited twice.

What `lamina plan` says comes true, for the reason that it gives; the image is that of a build without a cache.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.truth.chain import Chain, make_store
from tests.truth.shapes import SHAPES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Path:
    """A store with the images that the projects stand on, to be copied."""
    root = tmp_path_factory.mktemp("truth") / "store"
    make_store(root, busybox_tar)
    return root


@pytest.mark.parametrize("seed", range(len(SHAPES)))
def test_a_plan_comes_true_for_the_reason_that_it_gives(seed: int, store: Path, tmp_path: Path) -> None:
    chain = Chain(tmp_path, store, seed, patient=False)
    chain.run(2)
    assert not chain.wrong, "\n".join(chain.told)
    assert chain.tally["images"] >= 1 and chain.tally["predictions"] > 0
