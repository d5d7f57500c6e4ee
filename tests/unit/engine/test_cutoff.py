"""Early cutoff and forecasts over a world in memory."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.engine.forecast import Forecast, forecast
from lamina.engine.request import BuildRequest, BuildResult
from lamina.events import Reporter
from lamina.keys.decide import Hit, Miss, Unkeyed
from lamina.plan.steps import PlanOptions
from lamina.ports.running import RunSpec
from lamina.testing.context import MemoryContext
from lamina.testing.world import LINUX, MemoryWorld, Output, Tree, memory_world


def writes(content: bytes) -> object:
    def script(spec: RunSpec, tree: Tree, output: Output) -> int:
        tree["made"] = content
        return 0

    return script


def outcomes(result: BuildResult | Forecast) -> list[str]:
    return [step.outcome for stage in result.stages for step in stage.steps]


def planned(world: MemoryWorld, dockerfile: str, **request: object) -> Forecast:
    fields: dict[str, object] = {"build": "b", "file": "Dockerfile", "project": "p", **request}
    options = PlanOptions(LINUX, LINUX)
    asked = BuildRequest(dockerfile=dockerfile.encode(), options=options, **fields)  # type: ignore[arg-type]
    return forecast(asked, world.world(), Reporter())


def test_a_step_that_came_out_the_same_keeps_its_layer() -> None:
    world = memory_world()
    world.runner.steps |= {"one": writes(b"x"), "two": writes(b"x"), "three": writes(b"y")}  # type: ignore[dict-item]
    first = world.build("FROM base\nRUN one\nRUN after\n")
    same = world.build("FROM base\nRUN two\nRUN after\n")
    assert outcomes(same) == ["done", "cached"]
    assert [step.kept for step in same.stages[0].steps] == [True, False]
    assert same.chain == first.chain
    other = world.build("FROM base\nRUN three\nRUN after\n")
    assert (outcomes(other), other.stages[0].steps[0].kept) == (["done", "done"], False)


def test_it_is_kept_on_another_parent_and_what_stands_on_it_is_built() -> None:
    world = memory_world(MemoryContext({"f": b"1"}))
    text = "FROM base\nCOPY f /f\nRUN tool\nRUN after\n"
    first = world.build(text)
    changed = replace(world, context=MemoryContext({"f": b"2"}))
    again = changed.build(text)
    assert outcomes(again) == ["done", "done", "done"]
    kept = again.stages[0].steps[1]
    assert kept.kept and kept.record is not None and first.stages[0].steps[1].record is not None
    assert kept.record.diff_id == first.stages[0].steps[1].record.diff_id
    assert changed.files(again)["f"] == b"2"
    assert outcomes(changed.build(text)) == ["cached"] * 3


def test_a_forecast_runs_nothing_and_agrees_with_the_build() -> None:
    world = memory_world(MemoryContext({"f": b"1", "g": b"1"}))
    text = "FROM base\nCOPY f /f\nRUN make\nCOPY g /g\nCMD x\n"
    assert outcomes(planned(world, text)) == ["pending"] * 3 + ["metadata"]
    assert world.runner.ran == [] and world.starts == []
    world.build(text)
    assert planned(world, text).all_cached
    changed = replace(world, context=MemoryContext({"f": b"1", "g": b"2"}))
    found = planned(changed, text)
    assert outcomes(found) == ["cached", "cached", "pending", "metadata"]
    decision = found.stages[0].steps[2].decision
    assert isinstance(decision, Miss) and [change.path for change in decision.causes[0].files] == ["g"]
    assert found.seconds == found.stages[0].steps[2].seconds


def test_what_a_forecast_cannot_know() -> None:
    world = memory_world()
    text = "FROM base AS a\nRUN one\nFROM base\nCOPY --from=a /ran/one /x\nRUN last\n"
    world.build(text)
    changed = text.replace("RUN one", "RUN two")
    copy, last = planned(world, changed).stages[1].steps
    assert isinstance(copy.decision, Unkeyed) and copy.decision.behind == ("a",)
    assert copy.decision.nearest is not None and isinstance(last.decision, Unkeyed)
    missed = planned(world, changed.replace("COPY", "RUN before\nCOPY")).stages[1].steps
    assert all(isinstance(step.decision, Miss) for step in missed)


def test_a_linked_copy_fits_a_parent_that_is_not_there_yet() -> None:
    world = memory_world(MemoryContext({"f": b"1"}))
    text = "FROM base\nRUN one\nCOPY --link f /f\nRUN last\n"
    first = world.build(text)
    found = planned(world, text.replace("RUN one", "RUN two")).stages[0].steps
    assert [type(step.decision) for step in found] == [Miss, Hit, Miss]
    again = world.build(text.replace("RUN one", "RUN two"))
    assert outcomes(again) == ["done", "cached", "done"]
    linked = (first.stages[0].steps[1].record, again.stages[0].steps[1].record)
    assert linked[0] is not None and linked[1] is not None
    assert linked[0].diff_id == linked[1].diff_id and linked[0].result != linked[1].result


def test_forced_steps_are_pending() -> None:
    world = memory_world()
    world.build("FROM base\nRUN one\n")
    assert outcomes(planned(world, "FROM base\nRUN one\n", no_cache=True)) == ["pending"]


def test_a_forecast_knows_what_is_cached_if_a_step_comes_out_the_same() -> None:
    world = memory_world(MemoryContext({"f": b"1"}))
    text = "FROM base\nRUN one\nRUN after\nCOPY f /f\nRUN last\n"
    world.build(text)
    found = planned(world, text.replace("RUN one", "RUN two"))
    assert [step.possible for step in found.stages[0].steps] == [False, True, True, True]
    assert found.least < found.seconds
    # Below files that have changed nobody can tell.
    changed = replace(world, context=MemoryContext({"f": b"2"}))
    steps = planned(changed, text.replace("RUN one", "RUN two")).stages[0].steps
    assert [step.possible for step in steps] == [False, True, False, False]


def test_a_step_on_scratch_is_not_found_below_one_that_would_run() -> None:
    world = memory_world(MemoryContext({"a": b"1", "b": b"1"}))
    world.build("FROM scratch\nCOPY b /b\n")
    found = planned(world, "FROM scratch\nCOPY a /a\nCOPY b /b\n")
    assert outcomes(found) == ["pending", "pending"]
