"""A sample of `./dev test-faults`: operations that meet faults at random."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.random_rounds import CASES, Round
from tests.faults.random_site import Site, made, wrong_files


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, busybox_tar: Path) -> Iterator[Site]:
    with made(tmp_path_factory.mktemp("site"), busybox_tar) as site:
        yield site
        assert wrong_files(site.server) == []


@pytest.mark.parametrize("kind", CASES)
def test_it_ends_right_or_with_a_clear_error(site: Site, tmp_path: Path, kind: str) -> None:
    round_ = Round(site, 7000 + list(CASES).index(kind), tmp_path / "round", kind)
    round_.run()
    assert not round_.wrong, "\n".join(round_.told)
