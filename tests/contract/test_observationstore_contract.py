"""What every `ports.ObservationStore` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.store_making import a_digest

from lamina.keys.looks import ANSWER, Look, Observations, SeenLayer
from lamina.ports.storing import ObservationStore
from lamina.store.store import Store
from lamina.testing.world import MemoryObservations

LOOKS = (Look("", "list"), Look("app/caf\udce9", "entry"), Look("app/caf\udce9", "read"))
SEEN = Observations((SeenLayer(LOOKS, bytes(range(3 * ANSWER)), 7), SeenLayer((), b"", 0)))


@pytest.fixture(params=["memory", "disk"])
def observations(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObservationStore]:
    if request.param == "memory":
        yield MemoryObservations()
        return
    with Store.open(tmp_path / "store") as store:
        yield store.observations


def test_what_is_put_comes_back(observations: ObservationStore) -> None:
    assert observations.get(a_digest("never put")) is None
    digest = observations.put(SEEN)
    nothing = observations.put(Observations(()))
    assert digest != nothing
    assert observations.put(SEEN) == digest
    assert observations.get(digest) == SEEN
    assert observations.get(nothing) == Observations(())
