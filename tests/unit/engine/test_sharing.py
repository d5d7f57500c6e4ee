"""A shared cache over worlds in memory: two machines with stores of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID, Digest, digest_of
from lamina.engine.build import build
from lamina.engine.forecast import forecast
from lamina.engine.request import BuildRequest, BuildResult
from lamina.engine.world import World
from lamina.events import Reporter
from lamina.keys.decide import Hit, Miss
from lamina.keys.record import CacheRecord
from lamina.oci.descriptor import Descriptor
from lamina.plan.steps import PlanOptions
from lamina.ports.images import SharedStep
from lamina.testing.context import MemoryContext
from lamina.testing.world import LINUX, MemoryWorld, Tree, memory_world

TEXT = "FROM base\nCOPY f /f\nRUN one\nRUN two\n"


class Cache:
    """What all machines share. A machine has a `Seat` at it."""

    def __init__(self) -> None:
        self.steps: list[SharedStep] = []
        #: None for a layer that is not what its step says.
        self.trees: dict[DiffID, Tree | None] = {}
        self.facts: dict[Digest, object] = {}


class Seat:
    """A `ports.SharedCache` of one machine. `asked` lists the rounds, `awaited` and `brought` the texts of layers."""

    def __init__(self, cache: Cache, machine: MemoryWorld) -> None:
        self._cache = cache
        self._machine = machine
        self.asked: list[int] = []
        self.awaited: list[str] = []
        self.brought: list[str] = []
        self.broken = False

    def find(self, keys: Sequence[Digest]) -> Mapping[Digest, SharedStep]:
        self.asked.append(len(keys))
        return {
            key: step
            for step in self._cache.steps
            for key in (step.record.key.digest, step.record.content_key)
            if key in keys
        }

    def ahead(self, steps: Sequence[SharedStep]) -> None:
        self.awaited += [step.record.text for step in steps]

    def bring(self, step: SharedStep, progress: Callable[[str, int, int | None], None]) -> None:
        if self.broken:
            self._cache.steps.remove(step)
            raise BuildFailure("registry-unreachable", "the registry is gone")
        self.brought.append(step.record.text)
        assert step.record.diff_id is not None
        self._machine.images.packed[step.record.diff_id] = self._cache.trees[step.record.diff_id]

    def lost(self, step: SharedStep) -> None:
        self._cache.steps.remove(step)

    def nearest(self, address: str) -> Sequence[CacheRecord]:
        found = [step.record for step in self._cache.steps if step.record.address == address]
        for record in found:
            for part in record.key.parts:
                if part.files is not None:
                    self._machine.facts.put(part.files, self._cache.facts[part.files])  # type: ignore[arg-type]
        return found

    def offer(self, record: CacheRecord) -> None:
        snapshot = self._machine.snapshots.get(record.result) if record.result else None
        if record.diff_id is None or snapshot is None or any(step.record == record for step in self._cache.steps):
            return
        self._cache.steps.append(SharedStep(record, Descriptor("layer", digest_of(b""), 0)))
        self._cache.trees[record.diff_id] = dict(self._machine.snapshots.layers[snapshot.layer])
        for part in record.key.parts:
            if part.files is not None:
                self._cache.facts[part.files] = self._machine.facts.get(part.files)


class Machine:
    def __init__(self, cache: Cache, **files: bytes) -> None:
        self.world = replace(memory_world(), context=MemoryContext(files))
        self.seat = Seat(cache, self.world)

    def build(self, text: str = TEXT, **fields: object) -> BuildResult:
        options = PlanOptions(LINUX, LINUX)
        request = BuildRequest("b", text.encode(), "Dockerfile", f"p{id(self)}", options, **fields)  # type: ignore[arg-type]
        world: World = replace(self.world.world(), shared=self.seat)
        return build(request, world, Reporter())

    @property
    def ran(self) -> list[str]:
        return self.world.runner.ran


@pytest.fixture
def cache() -> Cache:
    made = Cache()
    Machine(made, f=b"1").build()
    return made


def origins(result: BuildResult) -> list[str]:
    steps = [step for stage in result.stages for step in stage.steps]
    return [step.decision.origin if isinstance(step.decision, Hit) else step.outcome for step in steps]


def test_an_empty_store_takes_all_from_the_cache_in_one_round(cache: Cache) -> None:
    other = Machine(cache, f=b"1")
    result = other.build()
    assert origins(result) == ["shared"] * 3 and other.ran == []
    assert len(other.seat.asked) == 1
    # All of it is there, and nobody needed the files yet.
    assert other.seat.brought == ["COPY f /f", "RUN one", "RUN two"] and other.world.images.unpacked == []
    other.seat.broken = True
    assert origins(other.build()) == ["store"] * 3 and other.world.images.unpacked == []
    more = other.build(TEXT + "RUN three\n")
    assert origins(more) == ["store"] * 3 + ["done"] and other.ran == ["three"]
    assert other.world.images.unpacked == ["'COPY f /f'", "'RUN one'", "'RUN two'"]
    assert other.world.files(more)["ran/two"] == b""
    assert result.config.rootfs.diff_ids == more.config.rootfs.diff_ids[:-1]


@pytest.mark.parametrize("later", [False, True], ids=["at-once", "in-a-later-build"])
def test_a_layer_that_is_not_what_its_step_says_is_made(cache: Cache, later: bool) -> None:
    step = next(one for one in cache.steps if one.record.text == "RUN one")
    assert step.record.diff_id is not None
    cache.trees[step.record.diff_id] = None
    other = Machine(cache, f=b"1")
    if later:
        assert origins(other.build()) == ["shared"] * 3
    made = other.build(TEXT + "RUN three\n")
    assert origins(made)[1] == "done" and other.ran == ["one", "three"]
    assert other.world.files(made)["ran/one"] == b""
    assert origins(other.build(TEXT + "RUN three\n")) == ["store"] * 4


def test_nothing_is_fetched_for_an_image_that_goes_to_a_registry_alone(cache: Cache) -> None:
    other = Machine(cache, f=b"1")
    result = other.build(lazy=True)
    assert origins(result) == ["shared"] * 3 and other.seat.brought == []
    assert [step.record is not None for step in result.stages[0].steps] == [True] * 3


def test_what_a_step_needs_is_fetched_when_it_runs(cache: Cache) -> None:
    other = Machine(cache, f=b"1")
    result = other.build(TEXT.replace("RUN two", "RUN other"), lazy=True)
    assert origins(result) == ["shared", "shared", "done"]
    assert other.seat.brought == ["COPY f /f", "RUN one"] and other.ran == ["other"]
    assert other.seat.awaited == other.seat.brought
    third = Machine(cache, f=b"1")
    assert origins(third.build(TEXT.replace("RUN two", "RUN other"))) == ["shared"] * 3


def test_a_cache_that_breaks_costs_time_and_no_more(cache: Cache) -> None:
    other = Machine(cache, f=b"1")
    other.seat.broken = True
    result = other.build()
    assert origins(result) == ["store", "store", "done"] and other.ran == ["one", "two"]
    # What could not be brought was made, and written anew as long as the cache was asked.
    assert [step.record.text for step in cache.steps] == ["COPY f /f", "RUN one"]


def test_a_miss_is_told_against_what_others_built(cache: Cache) -> None:
    other = Machine(cache, f=b"2")
    decision = other.build().stages[0].steps[0].decision
    assert isinstance(decision, Miss)
    assert [(change.path, change.kind) for change in decision.causes[0].files] == [("f", "content")]


def test_what_was_in_the_store_is_offered_too() -> None:
    cache = Cache()
    machine = Machine(cache, f=b"1")
    machine.world.build(TEXT, project=f"p{id(machine)}")
    assert cache.steps == []
    machine.build()
    assert [step.record.text for step in cache.steps] == ["COPY f /f", "RUN one", "RUN two"]


def test_a_forecast_says_what_the_shared_cache_has(cache: Cache) -> None:
    other = Machine(cache, f=b"1")
    options = PlanOptions(LINUX, LINUX)
    asked = BuildRequest("b", TEXT.replace("RUN two", "RUN other").encode(), "Dockerfile", "q", options)
    found = forecast(asked, replace(other.world.world(), shared=other.seat), Reporter())
    steps = found.stages[0].steps
    assert [step.decision.origin if isinstance(step.decision, Hit) else step.outcome for step in steps] == [
        "shared",
        "shared",
        "pending",
    ]
    assert other.seat.brought == [] and other.ran == []
