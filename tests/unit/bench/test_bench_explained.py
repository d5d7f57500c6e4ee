"""What explanation data costs: clocks around lamina's own functions, and a store's bytes."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from bench.explained import FINDING, KEEPING, Clock, explained, located


class Work:
    """Two functions of which one calls the other."""

    def outer(self) -> str:
        return self.inner()

    def inner(self) -> str:
        return "done"


def test_a_clock_counts_nested_calls_once_and_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("bench.explained.time.perf_counter", lambda: float(next(ticks)))  # one second a look
    clock = Clock()
    for name in ("outer", "inner"):
        clock.wrap(f"{__name__}:Work.{name}")
    assert Work().outer() == "done"
    assert clock.seconds == 1
    thread = threading.Thread(target=Work().inner)
    thread.start()
    thread.join()
    assert clock.seconds == 2


@pytest.mark.parametrize("place", [*KEEPING, *FINDING])
def test_what_is_clocked_exists(place: str) -> None:
    owner, name = located(place)
    assert callable(getattr(owner, name))


def test_a_store_and_its_builds(tmp_path: Path) -> None:
    told = explained(tmp_path, files=200, changes=2)
    assert 0 < told.store.facts < told.store.total
    assert 0 < told.store.rows < told.store.total
    assert len(told.costs) == 3
    assert all(0 < cost.keeping + cost.finding < cost.seconds for cost in told.costs)
    assert all(cost.finding > 0 for cost in told.costs[1:])
    assert list(tmp_path.iterdir()) == []
