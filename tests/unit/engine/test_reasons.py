"""Why a step is not cached, as the engine finds it out: lines of files, bases, instructions that were put in."""

from __future__ import annotations

from msgspec.structs import replace

from lamina.engine.request import BuildResult
from lamina.keys.decide import Miss, MissCause
from lamina.keys.facts import FileChange
from lamina.oci.config import RuntimeConfig
from lamina.testing.context import MemoryContext
from lamina.testing.world import MemoryWorld, memory_world

TEXT = "FROM base\nRUN first\nCOPY src /app/\nRUN last\n"


def with_files(world: MemoryWorld, **files: bytes) -> MemoryWorld:
    return replace(world, context=MemoryContext({f"src/{name}": data for name, data in files.items()}))


def cause(result: BuildResult, number: int) -> MissCause:
    decision = result.stages[-1].steps[number].decision
    assert isinstance(decision, Miss)
    return decision.causes[0]


def change(result: BuildResult) -> FileChange:
    (found,) = cause(result, 1).files
    return found


def test_the_line_of_the_file_as_it_is_in_the_context() -> None:
    world = with_files(memory_world(), a=b"1\n2\n3\n", b=b"x\n")
    world.build(TEXT)
    found = change(with_files(world, a=b"1\ntwo\n3\n", b=b"x\n").build(TEXT))
    assert (found.path, found.kind, found.lines) == ("src/a", "content", ((2, 2),))


def test_a_file_that_is_gone_is_named_as_it_was_in_the_context() -> None:
    world = with_files(memory_world(), a=b"1", b=b"2")
    world.build(TEXT)
    found = change(with_files(world, a=b"1").build(TEXT))
    assert (found.path, found.kind) == ("src/b", "removed")


def test_line_ends_alone() -> None:
    world = with_files(memory_world(), a=b"1\n2\n")
    world.build(TEXT)
    told = cause(with_files(world, a=b"1\r\n2\r\n").build(TEXT), 1)
    assert (told.sole, told.files[0].kind) == ("line-ends", "line-ends")


def test_binary_files_and_large_ones_have_no_lines() -> None:
    world = with_files(memory_world(), a=b"\0\1")
    world.build(TEXT)
    assert change(with_files(world, a=b"\0\2").build(TEXT)).lines == ()
    large = b"x\n" * (600_000)
    world.build(TEXT)
    assert change(with_files(world, a=large).build(TEXT)).lines == ()


def test_modes_alone() -> None:
    world = replace(memory_world(), context=MemoryContext({"src/a": b"1", "src/b": b"1"}))
    world.build(TEXT)
    modes = {"src/a": 0o664, "src/b": 0o664}
    told = cause(replace(world, context=MemoryContext({"src/a": b"1", "src/b": b"1"}, modes=modes)).build(TEXT), 1)
    assert (told.sole, told.total) == ("mode", 2)


def test_another_base_is_named_by_digests() -> None:
    world = memory_world()
    world.build("FROM base\nRUN x\nRUN y\n")
    world.images.add("base", {"etc/os-release": b"newer\n"}, RuntimeConfig(env=("PATH=/bin",)))
    told = cause(world.build("FROM base\nRUN x\nRUN y\n"), 0)
    assert (told.kind, told.part) == ("changed", "base")
    assert told.before != told.after


def test_an_instruction_that_was_put_in_is_new_and_drags_the_others() -> None:
    world = memory_world()
    world.build("FROM base\nRUN one\nRUN two\n")
    result = world.build("FROM base\nRUN zero\nRUN one\nRUN two\n")
    assert cause(result, 0).kind == "first_build"
    assert [cause(result, number) for number in (1, 2)] == [
        MissCause("parent", "parent", origin=f"{result.stages[0].stage.label}/1")
    ] * 2


def test_an_instruction_that_is_gone() -> None:
    world = memory_world()
    world.build("FROM base\nRUN one\nRUN two\n")
    told = cause(world.build("FROM base\nRUN two\n"), 0)
    assert (told.kind, told.part, told.before) == ("changed", "parent", "RUN one")
    assert told.after is not None and told.after.startswith("FROM sha256:")


def test_another_checkout_of_the_same_files_is_compared_with() -> None:
    files = {f"src/{number}": b"1" for number in range(9)}
    world = replace(memory_world(), context=MemoryContext(files))
    world.build(TEXT)
    modes = replace(world, context=MemoryContext(files, modes={"src/3": 0o664}))
    told = cause(modes.build(TEXT, project="another"), 1)
    assert (told.kind, told.sole, told.total) == ("changed", "mode", 1)
    git = {"src/.git/index": 0o664, **dict.fromkeys(files, 436)}
    cloned = MemoryContext({**files, "src/.git/index": b"2", "src/.git/logs": b"2"}, modes=git)
    told = cause(replace(world, context=cloned).build(TEXT, project="a clone"), 1)
    assert told.kind == "changed" and told.files[0].kind == "mode"
    strange = replace(world, context=MemoryContext(dict.fromkeys(files, b"2")))
    assert cause(strange.build(TEXT, project="stranger"), 1).kind == "first_build"


def test_a_step_is_compared_with_the_build_before_and_not_with_the_newest_record() -> None:
    world = with_files(memory_world(), a=b"1", b=b"1")
    world.build(TEXT)
    with_files(world, a=b"2", b=b"1").build(TEXT)
    world.build(TEXT)  # back to the first state: all cached
    assert change(with_files(world, a=b"1", b=b"2").build(TEXT)).path == "src/b"


def test_a_mounted_file_is_told_by_its_name() -> None:
    text = "FROM base\nRUN --mount=type=bind,source=src/a,target=/s first\n"
    world = with_files(memory_world(), a=b"1", b=b"1")
    world.build(text)
    (found,) = cause(with_files(world, a=b"2", b=b"1").build(text), 0).files
    assert (found.path, found.kind) == ("src/a", "content")


def test_a_step_that_was_spelled_anew_and_then_moved_is_compared_with_itself() -> None:
    world = with_files(memory_world(), a=b"1", b=b"1")
    world.build("FROM base\nCOPY src /app/\nRUN last\n")
    world.build("FROM base\nCOPY   src   /app/\nRUN last\n")
    changed = with_files(world, a=b"2", b=b"1")
    result = changed.build("FROM base AS named\nWORKDIR /put/in\nCOPY   src   /app/\nRUN last\n")
    assert [change.path for change in cause(result, 1).files] == ["src/a"]
    records = len(world.index.nearest("stage-0/1", "p", "COPY   src   /app/"))
    world.build("FROM base\nCOPY src /app/\nRUN last\n")
    world.build("FROM base\nCOPY   src   /app/\nRUN last\n")
    assert len(world.index.nearest("stage-0/1", "p", "COPY   src   /app/")) == records


def test_a_step_that_was_put_in_is_not_compared_with_one_that_was_spelled_anew() -> None:
    world = with_files(memory_world(), a=b"1", b=b"1")
    world.build("FROM base\nCOPY src /app/\n")
    world.build("FROM base\nCOPY   src   /app/\n")
    result = world.build("FROM base\nCOPY src/a /put-in\nCOPY   src   /app/\n")
    assert cause(result, 0).kind == "first_build"


def test_files_of_a_pattern_that_are_gone_are_named_as_they_were() -> None:
    text = "FROM base\nRUN first\nCOPY src/*.py /app/\n"
    world = replace(memory_world(), context=MemoryContext({"src/a.py": b"1", "src/b.py": b"1", "src/c": b""}))
    world.build(text)
    for files in ({"src/a.py": b"1", "src/c": b""}, {"src/c": b""}):
        told = cause(replace(world, context=MemoryContext(files)).build(text), 1)
        assert all(change.kind == "removed" for change in told.files)
        assert [change.path for change in told.files] == sorted({"src/a.py", "src/b.py"} - set(files))[: told.total]
        world.build(text)
