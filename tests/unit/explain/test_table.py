"""The lesson's table as data: the verdict of each instruction, and whose fault it is."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.explain.story import tell
from lamina.explain.table import Row, Summary, rows, summary
from lamina.testing.context import MemoryContext
from lamina.testing.world import MemoryWorld, memory_world

TEXT = "FROM base\nWORKDIR /app\nCOPY . .\nRUN install\nEXPOSE 8000\n"


def table(world: MemoryWorld, text: str = TEXT, *, no_cache: bool = False) -> tuple[Row, ...]:
    return rows(tell(world.build(text, no_cache=no_cache).stages))


def verdicts(made: tuple[Row, ...]) -> list[str]:
    return [row.verdict for row in made]


def lesson() -> MemoryWorld:
    return memory_world(MemoryContext({"a": b"1", "b": b"1"}))


def edited(world: MemoryWorld, **files: bytes) -> MemoryWorld:
    return replace(world, context=MemoryContext(files))


def test_a_first_build() -> None:
    made = table(lesson())
    assert verdicts(made) == ["fetched", "new", "new", "new", "metadata"]
    assert [row.text for row in made] == ["FROM base", "WORKDIR /app", "COPY . .", "RUN install", "EXPOSE 8000"]
    assert {row.stage for row in made} == {"stage-0"}
    assert [row.span.line for row in made] == [1, 2, 3, 4, 5]


def test_a_build_that_changes_nothing() -> None:
    world = lesson()
    table(world)
    assert verdicts(table(world)) == ["cached", "cached", "cached", "cached", "metadata"]


def test_what_changed_and_what_it_drags_along() -> None:
    world = lesson()
    table(world)
    made = table(edited(world, a=b"2", b=b"1"))
    assert verdicts(made) == ["cached", "cached", "CHANGED", "rebuilds", "metadata"]
    changed, dragged = made[2], made[3]
    assert changed.cause is not None and [change.path for change in changed.cause.files] == ["a"]
    assert (changed.more, changed.because) == (0, None)
    assert dragged.because == ("COPY . .", 3)


def test_further_changes_are_counted() -> None:
    world = lesson()
    table(world)
    # Files a and b differ, c is new.
    assert table(edited(world, a=b"2", b=b"2", c=b"1"))[2].more == 2
    table(world, "FROM base\nENV X=1 Y=1\nRUN install\n")
    two = table(world, "FROM base\nENV X=2 Y=2\nRUN install\n")
    assert two[2].verdict == "CHANGED"
    assert (two[2].cause and two[2].cause.part, two[2].more) == ("env X", 1)


def test_the_whole_chain_below_rebuilds_because_of_its_nearest_step() -> None:
    world = memory_world()
    table(world, "FROM base\nRUN one\nRUN two\nRUN three\n")
    made = table(world, "FROM base\nRUN 1\nRUN two\nRUN three\n")
    assert verdicts(made)[1:] == ["CHANGED", "rebuilds", "rebuilds"]
    assert made[2].because == ("RUN 1", 2)


def test_a_step_in_another_stage_is_to_blame() -> None:
    world = memory_world()
    text = "FROM base AS a\nRUN {}\nFROM a AS b\nRUN below\n"
    table(world, text.format("one"))
    made = table(world, text.format("other"))
    assert [row.text for row in made] == ["FROM base AS a", "RUN other", "FROM a AS b", "RUN below"]
    assert verdicts(made) == ["cached", "CHANGED", "cached", "rebuilds"]
    assert made[3].because == ("RUN other", 2)


def test_scratch_is_no_image() -> None:
    assert verdicts(table(lesson(), "FROM scratch\nCOPY a /a\n")) == ["metadata", "new"]


def test_no_cache_is_a_change_and_a_collected_layer_is_new() -> None:
    world = memory_world()
    result = world.build("FROM base\nRUN x\n")
    assert verdicts(table(world, "FROM base\nRUN x\n", no_cache=True)) == ["cached", "CHANGED"]
    assert result.chain is not None
    world.snapshots.drop(result.chain)
    made = table(world, "FROM base\nRUN x\n")
    assert made[1].verdict == "new"
    assert made[1].cause is not None and made[1].cause.kind == "evicted"


def test_a_step_that_another_stage_made_meanwhile_is_cached() -> None:
    text = "FROM base AS a\nRUN same\nFROM base AS b\nRUN same\nFROM scratch\n"
    made = table(memory_world(), text + "COPY --from=a /ran /\nCOPY --from=b /ran /\n")
    assert sorted(row.verdict for row in made if row.text == "RUN same") == ["cached", "new"]


def test_the_sum_counts_steps_that_make_layers() -> None:
    world = lesson()
    first = tell(world.build(TEXT).stages)
    assert summary(first) == Summary(0, 3, 0.0)
    took = sum(step.seconds for step in first.steps())
    again = tell(world.build(TEXT).stages)
    assert summary(again) == Summary(3, 3, took)
    assert sum(row.saved for row in rows(again)) == took
    assert [row.seconds for row in rows(again)] == [0.0] * 5
