"""Two builds side by side: like `diff`, by what goes in, and by what came out of the same."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.explain.against import Against, lists_of, paired, set_against
from lamina.explain.story import Story, ToldStep, tell
from lamina.keys.facts import FileChange
from lamina.ports.running import RunSpec
from lamina.testing.context import MemoryContext
from lamina.testing.world import MemoryWorld, Output, Tree, memory_world

TEXT = "FROM base\nARG V=1\nCOPY src /src\nRUN one\nRUN two\n"
FILES = {"src/a.py": b"1", "src/b.py": b"1", "README": b"1"}


def machine(files: dict[str, bytes] | None = None, modes: dict[str, int] | None = None) -> MemoryWorld:
    return memory_world(MemoryContext({**FILES, **(files or {})}, modes=modes))


def story(world: MemoryWorld, text: str = TEXT) -> Story:
    return tell(world.build(text).stages)


def compared(one: MemoryWorld, other: MemoryWorld, text: str = TEXT, changed: str = "") -> Against:
    """Two machines, each with a store of its own."""
    before, after = story(one, text), story(other, changed or text)
    lists = {**one.facts.lists, **other.facts.lists}
    return set_against(before, after, lists.get)


def sorts(found: Against) -> list[tuple[str, str]]:
    return [(one.sort, (one.after or one.before or _nothing()).text) for one in found.differences]


def _nothing() -> ToldStep:
    raise AssertionError("a difference of no step")


def test_the_same_on_two_machines() -> None:
    found = compared(machine(), machine())
    assert (found.differences, found.compared) == ((), 3)


def test_exactly_the_file_that_differs_with_its_place_in_the_context() -> None:
    found = compared(machine(), machine({"src/a.py": b"2", "README": b"2"}))
    (one,) = found.inputs
    assert one.after is not None and one.after.text == "COPY src /src"
    (cause,) = one.causes
    assert [(change.path, change.kind) for change in cause.files] == [("src/a.py", "content")]
    assert found.unrepeatable == ()


def test_another_umask_is_told_as_modes_alone() -> None:
    found = compared(machine(), machine(modes={"src/a.py": 0o664, "src/b.py": 0o664}))
    (cause,) = found.inputs[0].causes
    assert (cause.sole, cause.total) == ("mode", 2)
    assert cause.files[0] == FileChange("src/a.py", "mode", "0644", "0664")


def test_a_list_that_is_not_kept_is_told_without_names() -> None:
    before, after = story(machine()), story(machine({"src/a.py": b"2"}))
    (cause,) = set_against(before, after, lambda digest: None).inputs[0].causes
    assert (cause.part, cause.files) == ("source src", ())


def test_an_inserted_and_a_removed_step_are_no_change_of_everything() -> None:
    longer = TEXT.replace("RUN one", "RUN zero\nRUN one")
    assert sorts(compared(machine(), machine(), TEXT, longer)) == [("inserted", "RUN zero")]
    assert sorts(compared(machine(), machine(), longer, TEXT)) == [("removed", "RUN zero")]
    assert sorts(compared(machine(), machine(), TEXT, TEXT.replace("RUN one", "RUN 1"))) == [("changed", "RUN 1")]


def test_a_variable_is_told_for_each_step_that_has_it() -> None:
    found = compared(machine(), machine(), TEXT, TEXT.replace("V=1", "V=2"))
    assert [[(cause.part, cause.before, cause.after) for cause in one.causes] for one in found.inputs] == [
        [("env V", "1", "2")]
    ] * 2


def test_a_stage_that_only_one_has_and_what_a_failed_build_did_not_come_to() -> None:
    two = "FROM base AS a\nRUN one\nFROM base\nCOPY --from=a /ran/one /x\n"
    one = "FROM base AS b\nRUN one\nFROM base\nCOPY --from=b /ran/one /x\nRUN three\n"
    found = compared(machine(), machine(), two, one)
    assert sorts(found) == [("inserted", "RUN one"), ("inserted", "RUN three"), ("removed", "RUN one")]
    before, after = story(machine(), two), story(machine(), one)
    cut = set_against(before, after, lambda digest: None, whole=(False, False))
    assert cut.differences == ()


def test_another_base_image_is_told_first() -> None:
    other = machine()
    other.images.add("base", {"etc/os-release": b"another\n"})
    (first,) = [one for one in compared(machine(), other).differences if one.after is None]
    assert [cause.part for cause in first.causes] == ["base"]


def test_a_step_that_is_not_repeatable_is_named_once() -> None:
    def script(content: bytes) -> object:
        def run(spec: RunSpec, tree: Tree, output: Output) -> int:
            tree["made"] = content
            return 0

        return run

    one, other = machine(), machine()
    one.runner.steps["one"] = script(b"1")  # type: ignore[assignment]
    other.runner.steps["one"] = script(b"2")  # type: ignore[assignment]
    one.runner.steps["two"] = script(b"3")  # type: ignore[assignment]
    other.runner.steps["two"] = script(b"4")  # type: ignore[assignment]
    found = compared(one, other)
    assert found.inputs == ()
    assert sorts(found) == [("result", "RUN one")]


def test_final_keys_and_recipes() -> None:
    plain = story(machine())
    keyed = replace(plain, key="sha256:1")
    assert set_against(plain, plain, lambda digest: None).same_key is None
    assert set_against(keyed, keyed, lambda digest: None).same_key is True
    stage = plain.stages[0]
    steps = tuple(replace(step, key=replace(step.key, schema=1)) if step.key else step for step in stage.steps)
    older = Story((replace(stage, steps=steps),))
    assert set_against(older, plain, lambda digest: None).schemas == (1, plain.stages[0].steps[1].key.schema)  # type: ignore[union-attr]


def test_lists_of_a_story() -> None:
    world = machine()
    assert set(lists_of(story(world))) <= set(world.facts.lists)
    assert len(lists_of(story(world))) == 1


def test_steps_of_the_same_text_are_told_apart_by_their_place() -> None:
    steps = story(machine(), "FROM base\nRUN a\nRUN b\nRUN a\n").stages[0].steps
    assert paired(steps, steps) == [(step, step) for step in steps]
    assert paired(steps, steps[1:]) == [(steps[0], None), (steps[1], steps[1]), (steps[2], steps[2])]
