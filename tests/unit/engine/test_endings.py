"""How a build ends: what failed is told too, a miss may be forbidden, an image may be taken as it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.engine.build import build
from lamina.engine.identity import image_key
from lamina.engine.request import BuildRequest, NotCached
from lamina.engine.resolve import job_of
from lamina.events import Reporter
from lamina.keys.outcome import StageResult
from lamina.oci.config import RuntimeConfig
from lamina.oci.reference import parse_reference
from lamina.plan.steps import PlanOptions
from lamina.ports.running import RunSpec
from lamina.testing.context import MemoryContext
from lamina.testing.world import LINUX, MemoryWorld, Output, Tree, memory_world

TEXT = "FROM base AS tools\nRUN tool\nFROM base\nCOPY f /f\nCOPY --from=tools /ran /t\nRUN last\nLABEL a=b\n"


def fails(spec: RunSpec, tree: Tree, output: Output) -> int:
    return 3


def request(text: str, **fields: object) -> BuildRequest:
    return BuildRequest("b", text.encode(), "Dockerfile", "p", PlanOptions(LINUX, LINUX), **fields)  # type: ignore[arg-type]


def key(world: MemoryWorld, text: str = TEXT, **fields: object) -> str:
    return image_key(job_of(request(text, **fields), world.world(), Reporter()))


def lesson() -> MemoryWorld:
    return memory_world(MemoryContext({"f": b"1"}))


def test_a_failed_step_is_told_with_what_went_before() -> None:
    world = memory_world()
    world.runner.steps["bad"] = fails
    told: list[StageResult] = []

    def ended(stages: Sequence[StageResult]) -> None:
        told.extend(stages)

    with pytest.raises(BuildFailure):
        build(request("FROM base\nRUN good\nRUN bad\nRUN never\n"), world.world(), Reporter(), ended)
    steps = told[0].steps
    assert [(step.step.text, step.outcome) for step in steps] == [("RUN good", "done"), ("RUN bad", "failed")]
    assert steps[1].key is not None and steps[1].decision is not None


def test_nothing_runs_where_a_miss_is_forbidden() -> None:
    world = lesson()
    world.build(TEXT)
    ran = list(world.runner.ran)
    build(request(TEXT, fail_on_miss=True), world.world(), Reporter())
    changed = replace(world, context=MemoryContext({"f": b"2"}))
    with pytest.raises(NotCached) as caught:
        build(request(TEXT, fail_on_miss=True), changed.world(), Reporter())
    assert caught.value.diagnostic.reference == "cache-miss" and caught.value.exit_code == 10
    assert caught.value.diagnostic.span is not None and caught.value.diagnostic.span.line == 4
    assert caught.value.causes[0].files[0].path == "f"
    assert world.runner.ran == ran


def test_a_final_key_is_of_all_inputs_and_needs_no_build() -> None:
    world = lesson()
    first = key(world)
    assert world.runner.ran == [] and world.starts == []
    assert world.build(TEXT).key == first == key(world)
    assert key(replace(world, context=MemoryContext({"f": b"2"}))) != first
    for changed in ("RUN tool", "RUN last", "LABEL a=b", "/ran /t"):
        assert key(world, TEXT.replace(changed, f"{changed}x")) != first
    same = TEXT.replace("COPY f", "# a comment\nCOPY   f").replace("tools", "other")
    assert key(world, same) == first


def test_an_image_of_the_same_inputs_is_taken_as_it_is() -> None:
    world = lesson()
    made = world.build(TEXT)
    for chain in [step.record.result for stage in made.stages for step in stage.steps if step.record]:
        if chain is not None and world.snapshots.get(chain) is not None:
            world.snapshots.drop(chain)
    name = parse_reference("again")
    result = build(request(TEXT, reuse=True, tags=(name,)), world.world(), Reporter())
    assert (result.reused, result.image_id, result.key) == (True, made.image_id, made.key)
    assert world.catalog.entries[name].image_id == made.image_id
    changed = replace(world, context=MemoryContext({"f": b"2"}))
    assert not build(request(TEXT, reuse=True), changed.world(), Reporter()).reused


def test_the_epoch_is_offered_and_its_value_in_no_key() -> None:
    world = memory_world()
    text = "FROM base\nRUN one\n"
    world.build(text, step_epoch=7)
    assert world.runner.specs["one"].env["SOURCE_DATE_EPOCH"] == "7"
    world.build(text, step_epoch=8)
    assert world.runner.ran == ["one"]
    world.build(text)
    assert world.runner.ran == ["one", "one"]
    assert "SOURCE_DATE_EPOCH" not in world.runner.specs["one"].env


def test_what_a_linked_copy_stands_on_is_in_the_final_key() -> None:
    world = lesson()
    world.images.add("other", {"etc/os-release": b"other\n"}, RuntimeConfig(env=("PATH=/bin",)))
    text = "FROM base\nCOPY --link f /x\nRUN last\n"
    assert key(world, text) != key(world, text.replace("FROM base", "FROM other"))
    world.build(text, tags=(parse_reference("one"),))
    result = build(request(text.replace("FROM base", "FROM other"), reuse=True), world.world(), Reporter())
    assert not result.reused
