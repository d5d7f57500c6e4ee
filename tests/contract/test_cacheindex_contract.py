"""What every `ports.CacheIndex` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.store_making import a_digest, a_record, add_layer

from lamina.digest import ChainID
from lamina.ports.storing import CacheIndex
from lamina.store.store import Store
from lamina.testing.memory import MemoryCacheIndex


class Case:
    """An index, a chain whose snapshot is there, and one whose snapshot is not."""

    def __init__(self, index: CacheIndex, present: ChainID) -> None:
        self.index = index
        self.present = present
        self.absent = ChainID(a_digest("no such layer"))


@pytest.fixture(params=["memory", "disk"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "memory":
        chain = ChainID(a_digest("layer"))
        yield Case(MemoryCacheIndex(lambda asked: asked == chain), chain)
        return
    with Store.open(tmp_path / "store") as store:
        yield Case(store.records, add_layer(store, None, "x").chain_id)


def test_a_record_is_found_by_both_keys(case: Case) -> None:
    record = a_record("k", content="c", result=case.present)
    case.index.add(record)
    assert case.index.find(a_digest("k")) == record
    assert case.index.find(a_digest("c")) == record
    assert case.index.find(a_digest("other")) is None


def test_the_newest_wins(case: Case) -> None:
    case.index.add(a_record("k", content="c1", result=case.present, text="old"))
    newest = a_record("k", content="c2", result=case.present, text="new")
    case.index.add(newest)
    assert case.index.find(a_digest("k")) == newest
    found = case.index.find(a_digest("c1"))
    assert found is not None
    assert found.text == "old"


def test_a_key_may_be_anothers_content_key(case: Case) -> None:
    case.index.add(a_record("k", content="x", result=case.present, text="by content"))
    case.index.add(a_record("x", content="y", result=case.present, text="by definition"))
    found = case.index.find(a_digest("x"))
    assert found is not None
    assert found.text == "by definition"


def test_a_record_without_its_layer_is_a_miss(case: Case) -> None:
    case.index.add(a_record("k", result=case.absent))
    assert case.index.find(a_digest("k")) is None


def test_an_older_record_whose_layer_is_there_goes_before_a_newer_without(case: Case) -> None:
    older = a_record("k", result=case.present, text="older")
    case.index.add(older)
    case.index.add(a_record("k", result=case.absent, text="newer"))
    assert case.index.find(a_digest("k")) == older


def test_a_result_of_nothing_is_always_there(case: Case) -> None:
    case.index.add(a_record("k", result=None))
    assert case.index.find(a_digest("k")) is not None


def test_nearest_is_newest_first_at_most_eight_of_that_step_alone(case: Case) -> None:
    for number in range(12):
        case.index.add(a_record(f"k{number}", text=str(number), result=case.absent))
    case.index.add(a_record("other step", address="main/2"))
    case.index.add(a_record("other project", project="/elsewhere"))
    nearest = case.index.nearest("main/1 RUN make", "/project", "")
    assert [record.text for record in nearest] == [str(number) for number in range(11, 3, -1)]
    assert list(case.index.nearest("main/9", "/project", "")) == []


def test_nearest_finds_a_step_that_moved_by_its_text(case: Case) -> None:
    moved = a_record("moved", address="main/3", text="RUN make")
    for record in (
        moved,
        a_record("here", address="main/4", text="RUN other"),
        a_record("far", address="main/9", text="RUN far"),
    ):
        case.index.add(record)
    found = case.index.nearest("main/4", "/project", "RUN make")
    assert [record.address for record in found] == ["main/4", "main/3"]


def test_a_project_without_history_is_compared_with_others(case: Case) -> None:
    for number in range(10):
        case.index.add(a_record(f"k{number}", address=f"main/{number}", text="RUN make"))
    assert len(case.index.nearest("main/5", "/elsewhere", "RUN make")) == 8
    assert list(case.index.nearest("main/5", "/elsewhere", "RUN other")) == []


def test_bytes_that_are_no_utf8_survive(case: Case) -> None:
    record = a_record(
        "k", address="main/1 COPY \udcff", project="/home/\udce9", text="COPY \udcff\u00e9 /", result=None
    )
    case.index.add(record)
    assert case.index.find(a_digest("k")) == record
    assert list(case.index.nearest("main/1 COPY \udcff", "/home/\udce9", "")) == [record]
