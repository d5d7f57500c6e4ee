"""The chain of causes, over builds in memory: whose fault it was, what it dragged along, what avoids it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lamina.explain.advice import needed_files
from lamina.explain.narrative import Narrative, find_steps, narrate
from lamina.explain.needed import Needed, needed
from lamina.explain.story import Story, ToldStep, tell
from lamina.keys.looks import Look
from lamina.ports.running import RunSpec
from lamina.testing.context import MemoryContext
from lamina.testing.world import MemoryWorld, Output, Tree, memory_world

TEXT = "FROM base\nWORKDIR /app\nCOPY . .\nRUN pip install -r requirements.txt\nRUN below\nCMD x\n"
FILES = {"requirements.txt": b"django\n", "app.py": b"1\n"}


def lesson() -> MemoryWorld:
    return memory_world(MemoryContext(FILES))


def edited(world: MemoryWorld, **files: bytes) -> MemoryWorld:
    return replace(
        world, context=MemoryContext({**FILES, **{name.replace("__", "."): data for name, data in files.items()}})
    )


def story(world: MemoryWorld, text: str = TEXT, *, no_cache: bool = False) -> Story:
    return tell(world.build(text, no_cache=no_cache).stages)


def told(world: MemoryWorld, text: str = TEXT, *, no_cache: bool = False) -> Narrative:
    return narrate(story(world, text, no_cache=no_cache))


def lines(narrative: Narrative) -> list[tuple[int, list[int]]]:
    return [(fault.step.span.line, [one.step.span.line for one in fault.dragged]) for fault in narrative.faults]


def test_a_first_build_is_one_cause() -> None:
    made = told(lesson())
    (fault,) = made.faults
    assert (fault.name, len(fault.alike), fault.dragged, fault.cures) == ("first-build", 3, (), ())
    assert fault.last_time == 0
    assert made.fetched == ("base",)


def test_a_build_that_changes_nothing_has_no_cause() -> None:
    world = lesson()
    told(world)
    made = told(world)
    assert (made.faults, made.summary.cached, made.summary.total) == ((), 4, 4)


def test_one_changed_file_drags_the_rest_along() -> None:
    world = lesson()
    told(world)
    made = told(edited(world, app__py=b"2\n"))
    assert lines(made) == [(3, [4, 5])]
    (fault,) = made.faults
    assert fault.name == "file-content"
    assert fault.last_time > 0 and fault.seconds > 0
    (cure,) = fault.cures
    assert cure.startswith("Copy requirements.txt alone before line 4 (RUN pip install -r requirements.txt), which")


def test_a_changed_list_of_requirements_is_nobodys_fault() -> None:
    world = lesson()
    told(world)
    (fault,) = told(edited(world, requirements__txt=b"flask\n")).faults
    assert fault.cures[0].startswith("Nothing would have avoided it: line 4")


@pytest.mark.parametrize(
    ("install", "cure"),
    [
        ("RUN apt-get install -y curl", "Put line 3 (RUN apt-get install -y curl) above line 2"),
        ("RUN pip install django", "Put line 3 (RUN pip install django) above line 2"),
        ("RUN npm ci", "Copy package.json and package-lock.json alone before line 3"),
        ("RUN make", "If line 3 (RUN make) needs only some of these files"),
    ],
)
def test_what_would_have_avoided_a_copy_of_everything(install: str, cure: str) -> None:
    world = lesson()
    text = f"FROM base\nCOPY . /app\n{install}\n"
    told(world, text)
    (fault,) = told(edited(world, app__py=b"2\n"), text).faults
    assert fault.cures[0].startswith(cure)


def test_what_a_tool_leaves_behind_belongs_into_the_ignore_file() -> None:
    world = lesson()
    told(world)
    files = {**FILES, "node_modules/a/b": b"", "Dockerfile": b"FROM base\n", "run.log": b""}
    (fault,) = told(replace(world, context=MemoryContext(files))).faults
    (cure,) = fault.cures
    assert cure.startswith("Add to the ignore file what the image does not need: ")
    assert all(word in cure for word in ("**/node_modules", "Dockerfile", "**/*.log"))


def test_a_variable_is_one_cause_for_all_that_it_is_an_input_of() -> None:
    world = memory_world()
    text = "FROM base\nARG COMMIT={}\nRUN install\nRUN other\nRUN echo $COMMIT\n"
    told(world, text.format(1))
    made = told(world, text.format(2))
    (fault,) = made.faults
    assert (fault.name, [step.span.line for step in fault.alike]) == ("variable", [4, 5])
    assert fault.cures[0].startswith("Put line 2 (ARG COMMIT=2) below line ")
    assert "line 5" not in fault.cures[0]


def test_an_input_that_only_its_reader_saw_cannot_be_avoided() -> None:
    world = memory_world()
    text = "FROM base\nARG COMMIT={}\nRUN echo $COMMIT\n"
    told(world, text.format(1))
    (fault,) = told(world, text.format(2)).faults
    assert fault.cures[0].startswith("Nothing would have avoided it: COMMIT is what line 3 is about")


def test_what_would_have_run_anyway_follows_its_cause() -> None:
    world = lesson()
    text = "FROM base\nCOPY app.py /app.py\nRUN one\nCOPY . /all\n"
    told(world, text)
    made = told(edited(world, app__py=b"2\n"), text)
    assert [fault.step.span.line for fault in made.faults] == [2, 4]
    assert made.faults[1].under == made.faults[0].step
    assert lines(made)[0] == (2, [3])


def test_files_of_a_stage_that_was_rebuilt_are_its_fault() -> None:
    world = memory_world()

    def script(content: bytes) -> object:
        def run(spec: RunSpec, tree: Tree, output: Output) -> int:
            tree["tool"] = content
            return 0

        return run

    world.runner.steps |= {"one": script(b"1"), "two": script(b"2")}  # type: ignore[dict-item]
    text = "FROM base AS tools\nRUN {}\nFROM base\nCOPY --from=tools /tool /tool\nRUN below\n"
    told(world, text.format("one"))
    (fault,) = told(world, text.format("two")).faults
    assert (fault.step.span.line, fault.name) == (2, "command")
    assert [(one.step.span.line, one.through) for one in fault.dragged] == [(4, "tools"), (5, "")]


def test_a_step_that_came_out_the_same_drags_nothing_along() -> None:
    world = memory_world()
    same = lambda spec, tree, output: tree.update(made=b"x") or 0  # noqa: E731
    world.runner.steps |= {"one": same, "two": same}
    told(world, "FROM base\nRUN one\nRUN after\n")
    (fault,) = told(world, "FROM base\nRUN two\nRUN after\n").faults
    assert fault.step.kept and fault.dragged == () and fault.size == 0


def test_no_cache_is_one_cause() -> None:
    world = lesson()
    told(world)
    (fault,) = told(world, no_cache=True).faults
    assert (fault.name, len(fault.alike), fault.cures) == ("forced", 3, ("Leave the option out.",))


def test_modes_alone_name_the_cure() -> None:
    world = lesson()
    told(world)
    modes = dict.fromkeys(FILES, 0o664)
    (fault,) = told(replace(world, context=MemoryContext(FILES, modes=modes))).faults
    assert fault.name == "file-mode" and fault.causes[0].sole == "mode"
    assert fault.cures[0].startswith('`modes = "git"` in lamina.toml')


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("4", [4]), ("RUN BELOW", [5]), ("below", [5]), ("run", [4, 5]), ("99", []), ("requirements", [4]), ("nope", [])],
)
def test_which_step_is_meant(wanted: str, found: list[int]) -> None:
    assert [step.span.line for step in find_steps(story(lesson()), wanted)] == found


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("RUN pip install -r requirements/dev.txt", ("requirements/dev.txt",)),
        ("RUN pip install -r /app/dev-requirements.txt --no-cache-dir", ("dev-requirements.txt",)),
        ("RUN cp Pipfile.lock /deps; pipenv sync", ("Pipfile.lock",)),
        ("RUN pipenv install --deploy", ("Pipfile", "Pipfile.lock")),
        ("RUN poetry install --no-root", ("pyproject.toml", "poetry.lock")),
        ("RUN yarn", ("package.json", "yarn.lock")),
        ("RUN go mod download", ("go.mod", "go.sum")),
        ("RUN make", ()),
        ("RUN pip install -r req.in && cp -r src dst; head -c 30 f", ("req.in",)),
        ("RUN " + "a" * 100_000, ()),
    ],
)
def test_what_an_installing_command_reads(command: str, files: tuple[str, ...]) -> None:
    assert needed_files(command) == files


# --- observed steps ------------------------------------------------------------------------------------------------
def watched(world: MemoryWorld, files: dict[str, bytes], *looks: Look, text: str = TEXT) -> Narrative:
    """A build of these files in which each step looks at the same."""
    world.observer.looks = lambda layer: frozenset(looks)
    now = replace(world, context=MemoryContext(files))
    story = tell(now.build(text, observe=True).stages)

    def needs(step: ToldStep, copy: ToldStep) -> Needed | None:
        observations = world.observations.get(step.looks) if step.looks is not None else None
        return needed(story, step, copy, observations, world.facts.get) if observations is not None else None

    return narrate(story, needs)


READ = (Look("app", "entry"), Look("app/requirements.txt", "read"))


def test_steps_that_looked_at_nothing_of_a_change_are_told_with_it() -> None:
    world = lesson()
    watched(world, FILES, *READ)
    (fault,) = watched(world, {**FILES, "app.py": b"2"}, *READ).faults
    assert (fault.step.span.line, fault.dragged) == (3, ())
    assert [(step.span.line, step.read, step.saved > 0) for step in fault.spared] == [
        (4, (1, 2), True),
        (5, (1, 2), True),
    ]
    assert fault.cures == ()


def test_the_look_that_broke_is_joined_with_the_file_that_changed() -> None:
    world = lesson()
    watched(world, FILES, *READ)
    (fault,) = watched(world, {**FILES, "requirements.txt": b"flask"}, *READ).faults
    (first, _) = fault.dragged
    assert first.saw is not None and first.saw.change is not None
    assert (first.saw.look, first.saw.change.path) == (READ[1], "requirements.txt")
    (cure,) = fault.cures
    assert cure.startswith("Nothing would have avoided it: line 4 (RUN pip install -r requirements.txt) looked at what")
    assert "requirements.txt. A cache mount keeps" in cure


TWO_OF_THREE = (
    "Put `COPY Makefile requirements.txt ./` before line 4 (RUN make deps), and the rest in a COPY below it: "
    "it looked at 2 of the 3 files that line 3 copies."
)


@pytest.mark.parametrize(
    ("looks", "cure"),
    [
        (
            (Look("app", "entry"), Look("app/Makefile", "read"), Look("app/requirements.txt", "entry")),
            TWO_OF_THREE,
        ),
        (
            (Look("app", "entry"),),
            "Put line 4 (RUN make deps) above line 3: it looked at none of the 3 files that are copied there.",
        ),
    ],
)
def test_what_a_step_looked_at_takes_the_place_of_what_its_text_lets_guess(looks: tuple[Look, ...], cure: str) -> None:
    text = "FROM base\nWORKDIR /app\nCOPY . .\nRUN make deps\n"
    files = {**FILES, "Makefile": b""}
    world = lesson()
    replace(world, context=MemoryContext(files)).build(text)  # not observed yet
    (fault,) = watched(world, {**files, "app.py": b"2"}, *looks, text=text).faults
    assert fault.cures == (cure,)


def test_a_step_that_listed_all_that_is_copied_has_no_lesser_copy() -> None:
    world = lesson()
    world.build(TEXT)
    looks = (Look("app", "list"), *READ)
    (fault,) = watched(world, {**FILES, "app.py": b"2"}, *looks).faults
    (cure,) = fault.cures
    assert cure.startswith("Copy requirements.txt alone before line 4")  # which its text says
    other = "FROM base\nWORKDIR /app\nCOPY . .\nRUN apt-get install -y curl\n"
    world.build(other)
    (fault,) = watched(world, {**FILES, "app.py": b"3"}, *looks, text=other).faults
    assert fault.cures == ()
