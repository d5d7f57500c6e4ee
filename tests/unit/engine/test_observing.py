"""The third way to hit, over a world in memory: what a step looked at decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from lamina.diagnostics import Diagnostic
from lamina.engine.forecast import forecast
from lamina.engine.request import BuildRequest, BuildResult
from lamina.events import Reporter
from lamina.keys.decide import Hit, Miss
from lamina.keys.looks import Look
from lamina.plan.steps import PlanOptions
from lamina.testing.context import MemoryContext
from lamina.testing.world import LINUX, MemoryWorld, memory_world

BAD = "FROM base\nCOPY . /app/\nRUN install\nRUN compile\n"
LOCK = frozenset({Look("app/lock", "read"), Look("app", "list")})


def world_of(files: Mapping[str, bytes], world: MemoryWorld | None = None) -> MemoryWorld:
    return replace(world or memory_world(), context=MemoryContext(files))


def looking_at(world: MemoryWorld, looks: frozenset[Look]) -> None:
    def found(layer: Path) -> frozenset[Look]:
        return looks

    world.observer.looks = found


def hows(result: BuildResult) -> list[str]:
    steps = [step for stage in result.stages for step in stage.steps]
    return [step.decision.how if isinstance(step.decision, Hit) else step.outcome for step in steps]


def test_a_step_that_looked_at_nothing_that_changed_keeps_its_layer() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    looking_at(world, LOCK)
    world.build(BAD, observe=True)
    assert world.observer.watched == 2
    changed = world_of({"lock": b"1", "code": b"2"}, world)
    result = changed.build(BAD, observe=True)
    assert hows(result) == ["done", "observation", "observation"]
    assert world.runner.ran == ["install", "compile"]
    assert changed.files(result)["app/code"] == b"2" and "ran/install" in changed.files(result)
    decision = result.stages[0].steps[1].decision
    assert isinstance(decision, Hit) and decision.read == (1, 2)
    assert hows(changed.build(BAD, observe=True)) == ["definition"] * 3
    # And on from there: what was moved has its looks still.
    again = world_of({"lock": b"1", "code": b"3"}, world)
    assert hows(again.build(BAD, observe=True)) == ["done", "observation", "observation"]


def test_what_it_looked_at_decides_and_is_told() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    looking_at(world, LOCK)
    world.build(BAD, observe=True)
    for files, look in (
        ({"lock": b"2", "code": b"1"}, Look("app/lock", "read")),
        ({"lock": b"1", "code": b"1", "new": b""}, Look("app", "list")),
    ):
        result = world_of(files, world).build(BAD, observe=True)
        assert hows(result) == ["done", "done", "done"]
        decision = result.stages[0].steps[1].decision
        assert isinstance(decision, Miss) and decision.causes[-1].look == look


def test_nothing_is_observed_or_found_so_unless_it_is_asked_for() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    looking_at(world, LOCK)
    world.build(BAD)
    assert world.observer.watched == 0
    changed = world_of({"lock": b"1", "code": b"2"}, world)
    assert hows(changed.build(BAD, observe=True)) == ["done", "done", "done"]
    other = world_of({"lock": b"1", "code": b"3"}, world)
    assert hows(other.build(BAD)) == ["done", "done", "done"]
    assert hows(other.build(BAD, observe=True, no_cache=True)) == ["done", "done", "done"]


def test_another_step_or_another_layer_below_is_no_match() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    looking_at(world, LOCK)
    world.build(BAD, observe=True)
    changed = world_of({"lock": b"1", "code": b"2"}, world)
    assert hows(changed.build(BAD.replace("RUN install", "ENV A=1\nRUN install"), observe=True))[2] == "done"
    assert hows(changed.build(BAD.replace("COPY", "RUN first\nCOPY"), observe=True))[2] == "done"
    assert hows(changed.build(BAD.replace("COPY", "COPY lock /x\nCOPY"), observe=True))[2] == "done"


def test_without_an_observer_that_lives_the_step_runs_again_unobserved() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    world.observer.lost = True
    result = world.build(BAD, observe=True)
    assert hows(result) == ["done", "done", "done"]
    assert world.runner.ran == ["install", "install", "compile", "compile"]
    assert all(step.record is not None and step.record.looks is None for step in result.stages[0].steps)


def test_a_step_that_reads_most_of_many_files_is_not_observed_again() -> None:
    files = {f"f{number}": b"1" for number in range(500)}
    world = world_of(files)
    looking_at(world, frozenset(Look(f"app/{name}", "read") for name in files))
    result = world.build("FROM base\nCOPY . /app/\nRUN test\n", observe=True)
    record = result.stages[0].steps[1].record
    assert record is not None and record.plain and record.looks is None
    for number in range(3):
        changed = world_of({**files, "f1": b"%d" % (number + 2)}, world)
        changed.build("FROM base\nCOPY . /app/\nRUN test\n", observe=number != 1)
    assert world.observer.watched == 1


def test_the_same_layer_twice_below_a_step_is_not_observed() -> None:
    world = world_of({"lock": b"1"})
    world.build("FROM base\nCOPY lock /x\nCOPY lock /x\nRUN a\n", observe=True)
    assert world.observer.watched == 0


def foretold(world: MemoryWorld, dockerfile: str) -> list[str]:
    options = PlanOptions(LINUX, LINUX)
    asked = BuildRequest("b", dockerfile.encode(), "Dockerfile", "p", options, observe=True)
    steps = [step for stage in forecast(asked, world.world(), Reporter()).stages for step in stage.steps]
    return [step.decision.how if isinstance(step.decision, Hit) else step.outcome for step in steps]


def test_a_forecast_says_what_observation_will_find() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    looking_at(world, LOCK)
    world.build(BAD, observe=True)
    changed = world_of({"lock": b"1", "code": b"2"}, world)
    assert foretold(changed, BAD) == ["pending", "observation", "observation"]
    assert foretold(world_of({"lock": b"2", "code": b"1"}, world), BAD) == ["pending"] * 3
    assert foretold(world_of({"lock": b"1", "code": b"1", "new": b""}, world), BAD) == ["pending"] * 3
    assert foretold(changed, BAD.replace("RUN install", "RUN other")) == ["pending"] * 3
    assert foretold(changed, BAD.replace("/app/", "/srv/")) == ["pending"] * 3
    assert hows(changed.build(BAD, observe=True)) == ["done", "observation", "observation"]


def test_another_checkout_is_found_by_observation_too() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    looking_at(world, LOCK)
    world.build(BAD, observe=True)
    elsewhere = world_of({"lock": b"1", "code": b"2"}, world)
    assert hows(elsewhere.build(BAD, observe=True, project="elsewhere")) == ["done", "observation", "observation"]


def test_where_nothing_can_be_observed_that_is_said_once() -> None:
    world = world_of({"lock": b"1", "code": b"1"})
    world.observer.absent = True
    told: list[str] = []

    class Listener(Reporter):
        def warning(self, diagnostic: Diagnostic) -> None:
            told.append(diagnostic.reference)

    result = world.build(BAD, Listener(), observe=True)
    assert hows(result) == ["done"] * 3 and world.runner.ran == ["install", "compile"]
    assert told == ["runtime-no-observer"] and world.observer.watched == 1
