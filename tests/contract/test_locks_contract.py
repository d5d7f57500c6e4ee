"""What every `ports.Locks` does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.ports.storing import Locks
from lamina.store.store import Store
from lamina.testing.memory import MemoryLocks


@pytest.fixture(params=["memory", "disk"])
def locks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Locks]:
    if request.param == "memory":
        yield MemoryLocks()
        return
    with Store.open(tmp_path / "store") as store:
        yield store.locks


def test_only_one_thread_at_a_time_is_inside(locks: Locks) -> None:
    inside = 0
    most = 0
    total = 0

    def work() -> None:
        nonlocal inside, most, total
        for _ in range(100):
            with locks.hold("step"):
                inside += 1
                most = max(most, inside)
                value = total
                threading.Event().wait(0.00001)
                total = value + 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, total) == (1, 400)


def test_different_names_do_not_wait_for_each_other(locks: Locks) -> None:
    done = threading.Event()

    def other() -> None:
        with locks.hold("two"):
            done.set()

    with locks.hold("one"):
        thread = threading.Thread(target=other)
        thread.start()
        assert done.wait(10)
    thread.join()


@pytest.mark.parametrize("name", ["", "a/b/../c", "x" * 5000, "\udcff", "sha256:00 é"])
def test_any_text_is_a_name(locks: Locks, name: str) -> None:
    for _ in range(2):
        with locks.hold(name):
            pass


def test_an_error_inside_frees_the_lock(locks: Locks) -> None:
    with pytest.raises(RuntimeError), locks.hold("step"):
        raise RuntimeError
    with locks.hold("step"):
        pass
