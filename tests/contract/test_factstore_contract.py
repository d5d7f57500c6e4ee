"""What every `ports.FactStore` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.store_making import a_digest

from lamina.keys.filetree import FileRecord
from lamina.ports.storing import FactStore
from lamina.store.store import Store
from lamina.testing.memory import MemoryFacts

RECORDS = (FileRecord("a\udcff", "file", 0o644, 3, "ab" * 32), FileRecord("b", "link", 0o777, target="a"))


@pytest.fixture(params=["memory", "disk"])
def facts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FactStore]:
    if request.param == "memory":
        yield MemoryFacts()
        return
    with Store.open(tmp_path / "store") as store:
        yield store.facts


def test_lists_come_back(facts: FactStore) -> None:
    assert facts.get(a_digest("tree")) is None
    for _ in range(2):
        facts.put(a_digest("tree"), RECORDS)
        facts.put(a_digest("nothing"), [])
    assert facts.get(a_digest("tree")) == RECORDS
    assert facts.get(a_digest("nothing")) == ()


def test_a_list_that_resembles_another_comes_back(facts: FactStore) -> None:
    old = tuple(FileRecord(f"f{number}", "file", 0o644, number, f"{number:064x}") for number in range(500))
    new = (*old[:250], FileRecord("f250", "file", 0o755, 7, "ab" * 32), *old[251:])
    facts.put(a_digest("old"), old)
    facts.put(a_digest("new"), new, like=a_digest("old"))
    facts.put(a_digest("strange"), RECORDS, like=a_digest("old"))
    facts.put(a_digest("alone"), new, like=a_digest("never kept"))
    facts.put(a_digest("itself"), new, like=a_digest("itself"))
    assert facts.get(a_digest("old")) == old
    assert facts.get(a_digest("new")) == facts.get(a_digest("alone")) == facts.get(a_digest("itself")) == new
    assert facts.get(a_digest("strange")) == RECORDS


def test_answers_come_back_and_the_last_counts(facts: FactStore) -> None:
    assert facts.recall(a_digest("question")) is None
    for answer in ("one", "two"):
        facts.remember(a_digest("question"), a_digest(answer))
    assert facts.recall(a_digest("question")) == a_digest("two")
    assert facts.recall(a_digest("one")) is None
