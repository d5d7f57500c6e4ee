"""`lamina advise` on Dockerfiles with known faults: what it says of all; `./dev test-advice` has the proofs of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.advice.case import CASES
from tests.advice.images import provide
from tests.advice.judge import advised, alarms, complaints
from tests.support.command import Command

#: Proved here as well: they need nothing but pip.
QUICK = ("pip-local-path", "pip-find-links-in-list", "pip-chown-layer")


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 30
    assert len({case.ecosystem for case in CASES.values()}) >= 10
    assert sum(not case.order for case in CASES.values()) >= 10


@pytest.mark.parametrize("name", CASES)
def test_the_fault_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = advised(Command(tmp_path / "store"), case, tmp_path)
    assert not list(complaints(case, found))


@pytest.mark.parametrize("name", CASES)
def test_check_warns_of_the_fault_and_of_nothing_else(name: str) -> None:
    assert alarms(CASES[name]) == set(CASES[name].alarms)


@pytest.mark.slow
def test_what_is_claimed_is_proved(tmp_path: Path) -> None:
    command = Command(tmp_path / "store", patience=600)
    provide(command, ["python"], plain=True)
    for name in QUICK:
        found = advised(command, CASES[name], tmp_path, "--prove", "--commits-to-build", "1")
        assert not list(complaints(CASES[name], found))
        assert found["proof"]["verdict"] == "proved"
