"""The engine on a world in memory: what runs, what does not, and in which order things are committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure, Diagnostic
from lamina.engine.build import build
from lamina.engine.request import BuildRequest, BuildResult
from lamina.engine.world import Tools
from lamina.events import Outcome, Reporter, Vertex
from lamina.keys.decide import Hit, Miss
from lamina.keys.record import CacheRecord
from lamina.oci.config import RuntimeConfig, decode_config
from lamina.oci.reference import parse_reference
from lamina.plan.steps import PlanOptions
from lamina.ports.running import RunSpec
from lamina.testing.context import MemoryContext
from lamina.testing.memory import MemoryCacheIndex, MemoryLocks
from lamina.testing.world import LINUX, MemoryFacts, MemorySnapshots, MemoryWorld, Output, Tree, memory_world

LESSON = "FROM base\nWORKDIR /app\nCOPY Pipfile ./\nRUN install\nCOPY . .\nEXPOSE 8000\n"


def lesson_world() -> MemoryWorld:
    return memory_world(MemoryContext({"Pipfile": b"django", "manage.py": b"print()"}))


def outcomes(result: BuildResult) -> list[str]:
    """Of the target stage."""
    return [step.outcome for step in result.stages[-1].steps]


def decisions(result: BuildResult) -> list[str]:
    """`definition`, `content`, or the kind of a miss's first cause, of each step that makes a layer."""
    made = [step.decision for stage in result.stages for step in stage.steps]
    return [one.how if isinstance(one, Hit) else one.causes[0].kind for one in made if isinstance(one, Hit | Miss)]


def edited(world: MemoryWorld, **files: bytes) -> MemoryWorld:
    """The same store with another context: a new process's view of it."""
    return replace(world, context=MemoryContext({**world.context.files, **files}))


class Listener(Reporter):
    """Notes every event."""

    def __init__(self) -> None:
        self.started: list[Vertex] = []
        self.ended: dict[str, Outcome] = {}
        self.failures: list[Diagnostic | None] = []
        self.output = b""
        self.warnings: list[Diagnostic] = []

    def vertex_started(self, vertex: Vertex) -> None:
        self.started.append(vertex)

    def vertex_output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        self.output += data

    def vertex_ended(self, vertex: Vertex, outcome: Outcome, seconds: float, failure: Diagnostic | None) -> None:
        assert vertex in self.started and vertex.name not in self.ended and seconds >= 0
        self.ended[vertex.name] = outcome
        self.failures.append(failure)

    def warning(self, diagnostic: Diagnostic) -> None:
        self.warnings.append(diagnostic)


# --- hits ------------------------------------------------------------------------------------------------------------
def test_the_first_build_runs_everything() -> None:
    world = lesson_world()
    result = world.build(LESSON)
    assert outcomes(result) == ["done", "done", "done", "done", "metadata"]
    assert decisions(result) == ["first_build"] * 4
    assert world.files(result) == {
        "etc/os-release": b"base\n",
        "app": None,
        "app/Pipfile": b"django",
        "ran/install": b"",
        "app/manage.py": b"print()",
    }


def test_a_build_in_which_everything_is_cached_touches_nothing() -> None:
    world = lesson_world()
    first = world.build(LESSON)

    class Untouchable:
        """No layer is looked into, begun or committed; only presence is asked for."""

        get = world.snapshots.get

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"snapshots.{name} was used")

    def start() -> Tools:
        raise AssertionError("tools were asked for")

    request = BuildRequest("b2", LESSON.encode(), "Dockerfile", "p", PlanOptions(LINUX, LINUX))
    untouched: Any = Untouchable()
    threads = threading.active_count()
    again = build(request, replace(world.world(), snapshots=untouched, start=start), Reporter())
    assert decisions(again) == ["definition"] * 4
    assert again.image_id == first.image_id
    assert threading.active_count() == threads
    assert world.images.fetched == ["base"]


def test_a_miss_starts_once() -> None:
    world = lesson_world()
    world.build(LESSON)
    assert world.starts == [0]
    world.build(LESSON + "RUN one\nRUN two\n")
    assert world.starts == [0, 1]


def test_the_base_is_not_fetched_before_something_must_run() -> None:
    world = memory_world()
    result = world.build("FROM base\nCMD x\n")
    assert (world.images.fetched, world.starts) == ([], [])
    assert result.chain is not None and world.snapshots.get(result.chain) is None
    assert world.build("FROM base\nRUN x\n").stages[0].base == "fetched"
    assert world.build("FROM base\nRUN x\n").stages[0].base == "cached"


def test_the_lesson() -> None:
    """Code changes: what stands above its COPY comes from the cache. The Pipfile changes: all from there on runs."""
    world = lesson_world()
    world.build(LESSON)
    code = edited(world, **{"manage.py": b"print(2)"})
    assert outcomes(code.build(LESSON)) == ["cached", "cached", "cached", "done", "metadata"]
    changed = edited(code, Pipfile=b"flask").build(LESSON)
    assert outcomes(changed) == ["cached", "done", "done", "done", "metadata"]
    assert world.runner.ran == ["install", "install"]
    assert decisions(changed)[1:] == ["changed", "parent", "changed"]
    assert outcomes(world.build(LESSON)) == ["cached"] * 4 + ["metadata"], "a change taken back hits the old records"


def test_the_cause_names_the_file() -> None:
    world = lesson_world()
    world.build(LESSON)
    decision = edited(world, **{"manage.py": b"2"}).build(LESSON).stages[0].steps[3].decision
    assert isinstance(decision, Miss)
    (cause,) = decision.causes
    assert [(change.path, change.kind) for change in cause.files] == [("manage.py", "content")]


def test_the_files_of_several_directories_are_compared_name_by_name() -> None:
    text = "FROM base\nCOPY *.d /all/\n"
    world = memory_world(MemoryContext({"one.d/a": b"1", "one.d/z": b"1", "two.d/b": b"1"}))
    world.build(text)
    fewer = MemoryContext({"one.d/z": b"1", "two.d/b": b"1"})
    decision = replace(world, context=fewer).build(text).stages[0].steps[0].decision
    assert isinstance(decision, Miss)
    assert [(change.path, change.kind) for change in decision.causes[0].files] == [("a", "removed")]


def test_another_image_behind_the_same_name_rebuilds() -> None:
    world = memory_world()
    world.build("FROM base\nRUN x\n")
    world.images.add("base", {"etc/os-release": b"newer\n"}, RuntimeConfig(env=("PATH=/bin",)))
    result = world.build("FROM base\nRUN x\n")
    assert world.runner.ran == ["x", "x"]
    decision = result.stages[0].steps[0].decision
    assert isinstance(decision, Miss) and [(c.kind, c.part) for c in decision.causes] == [("changed", "base")]


def test_by_content_when_a_step_above_ran_again_with_the_same_result() -> None:
    world = memory_world()
    world.runner.steps |= {"make": write("made"), "make # again": write("made")}
    world.build("FROM base\nRUN make\nRUN below\n")
    result = world.build("FROM base\nRUN make # again\nRUN below\n")
    assert decisions(result) == ["changed", "content"]
    assert world.runner.ran == ["make", "below", "make # again"]
    assert decisions(world.build("FROM base\nRUN make # again\nRUN below\n")) == ["definition"] * 2


def test_a_record_over_a_stack_that_came_out_differently_is_not_used() -> None:
    world = memory_world()
    world.runner.steps["date"] = counter("now")
    text = "FROM base\nRUN date\nRUN below\n"
    world.build(text)
    world.build("FROM base\nRUN date\n", no_cache=True)
    result = world.build(text)
    assert decisions(result) == ["definition", "changed"]
    assert world.files(result)["now"] == b"2"
    assert world.runner.ran == ["date", "below", "date", "below"]


def test_a_layer_that_was_collected_is_made_again() -> None:
    world = memory_world()
    result = world.build("FROM base\nRUN x\n")
    assert result.chain is not None
    world.snapshots.drop(result.chain)
    assert decisions(world.build("FROM base\nRUN x\n")) == ["evicted"]


# --- commits and failures --------------------------------------------------------------------------------------------
def test_a_record_is_added_when_all_that_it_names_is_there() -> None:
    class Checked(MemoryCacheIndex):
        def __init__(self, snapshots: MemorySnapshots, facts: MemoryFacts) -> None:
            super().__init__()
            self.snapshots, self.facts, self.seen = snapshots, facts, list[str]()

        def add(self, record: CacheRecord) -> None:
            assert record.result is not None and self.snapshots.get(record.result) is not None
            assert all(self.facts.get(part.files) is not None for part in record.key.parts if part.files)
            self.seen.append(record.text)
            super().add(record)

    world = lesson_world()
    index = Checked(world.snapshots, world.facts)
    replace(world, index=index).build(LESSON)
    assert index.seen == ["WORKDIR /app", "COPY Pipfile ./", "RUN install", "COPY . ."]


def test_a_failing_step_leaves_nothing_and_stops_what_follows() -> None:
    world, listener = memory_world(), Listener()

    def fail(spec: RunSpec, tree: Tree, output: Output) -> int:
        tree["half"] = b"done"
        output(1, b"working\r\n50%\r100%\n")
        output(2, b"make: *** no\n")
        return 2

    world.runner.steps["make"] = fail
    with pytest.raises(BuildFailure) as caught:
        world.build("FROM base\nRUN good\nRUN make\nRUN after\n", listener)
    diagnostic = caught.value.diagnostic
    assert (diagnostic.reference, diagnostic.span and diagnostic.span.line) == ("step-failed", 3)
    assert "exit status 2" in diagnostic.message
    assert diagnostic.excerpt == ("working", "100%", "make: *** no")
    assert listener.ended["[3/4] RUN make"] == "failed"
    assert diagnostic in listener.failures
    assert world.runner.ran == ["good", "make"]
    assert all("half" not in tree for tree in world.snapshots.layers.values())
    del world.runner.steps["make"]
    assert outcomes(world.build("FROM base\nRUN good\nRUN make\nRUN after\n")) == ["cached", "done", "done"]


@pytest.mark.parametrize(("status", "words"), [(137, "killed by signal 9"), (127, "exit status 127")])
def test_a_silent_failure_has_no_excerpt(status: int, words: str) -> None:
    world = memory_world()
    world.runner.steps["x"] = lambda spec, tree, output: status
    with pytest.raises(BuildFailure) as caught:
        world.build("FROM base\nRUN x\n")
    assert caught.value.diagnostic.excerpt == ()
    assert words in caught.value.diagnostic.message
    assert caught.value.diagnostic.hint


def test_an_unknown_image_is_named_at_its_from() -> None:
    listener = Listener()
    with pytest.raises(BuildFailure) as caught:
        memory_world().build("# x\nFROM nowhere\n", listener)
    assert caught.value.diagnostic.span is not None and caught.value.diagnostic.span.line == 2
    assert list(listener.ended.values()) == ["done", "failed"]


@pytest.mark.parametrize(
    ("source", "reference", "hint"),
    [
        ("manage.pi", "context-source-missing", "did you mean manage.py?"),
        ("../x", "context-source-missing", "lead out of"),
        ("secret", "context-source-missing", "*.key (.dockerignore:1)"),
        ("[a", "dockerfile-bad-pattern", "backslash"),
    ],
)
def test_a_bad_source_is_explained_at_its_line(source: str, reference: str, hint: str) -> None:
    world = memory_world(MemoryContext({"manage.py": b""}, hidden={"secret": "*.key (.dockerignore:1)"}))
    with pytest.raises(BuildFailure) as caught:
        world.build(f"FROM base\nCOPY {source} /x\n")
    diagnostic = caught.value.diagnostic
    assert diagnostic.reference == reference
    assert diagnostic.span is not None and diagnostic.span.line == 2
    assert hint in (diagnostic.hint or "")
    assert world.starts == []


# --- stages ----------------------------------------------------------------------------------------------------------
def test_copy_from_is_keyed_by_content_and_remembered() -> None:
    world = memory_world()
    world.runner.steps["make"] = write("out/app", "log")
    world.runner.steps["make quietly"] = write("out/app")
    text = "FROM base AS made\nRUN {}\nFROM base\nCOPY --from=made /out/ /bin/\nRUN check\n"
    result = world.build(text.format("make"))
    assert world.files(result)["bin/app"] == b"out/app"
    assert world.layers.asked == ["/out/"], "read once: for the key and for the copy"
    again = world.build(text.format("make"))
    assert decisions(again) == ["definition"] * 3
    assert world.layers.asked == ["/out/"]
    # The stage comes out differently, but not in what is copied.
    other = world.build(text.format("make quietly"))
    assert outcomes(other) == ["cached", "cached"]
    assert world.layers.asked == ["/out/", "/out/"]
    assert other.image_id == result.image_id


def test_what_a_copy_selects_is_read_again_for_another_destination() -> None:
    world = memory_world()
    text = "FROM base AS made\nRUN x\nFROM scratch\nCOPY --from=made /ran/x {}\n"
    world.build(text.format("/a"))
    assert world.files(world.build(text.format("/b"))) == {"b": b""}


def test_copy_from_an_image_fetches_that_image_alone() -> None:
    world = memory_world()
    world.images.add("tools", {"bin/tool": b"elf"})
    assert world.files(world.build("FROM scratch\nCOPY --from=tools /bin/tool /tool\n")) == {"tool": b"elf"}
    assert world.images.fetched == ["tools"]


def test_two_stages_with_the_same_step_run_it_once() -> None:
    class Watched(MemoryLocks):
        """Knows when both stages have missed and want the step."""

        def __init__(self) -> None:
            super().__init__()
            self.wanted, self.both = 0, threading.Event()

        @contextmanager
        def hold(self, name: str) -> Iterator[None]:
            self.wanted += 1
            if self.wanted == 2:
                self.both.set()
            with super().hold(name):
                yield

    locks = Watched()
    world = replace(memory_world(), locks=locks)

    def same(spec: RunSpec, tree: Tree, output: Output) -> int:
        tree["ran/same"] = b""
        return 0 if locks.both.wait(10) else 1

    world.runner.steps["same"] = same
    text = "FROM base AS a\nRUN same\nFROM base AS b\nRUN same\nFROM scratch\n"
    result = world.build(text + "COPY --from=a /ran/same /a\nCOPY --from=b /ran/same /b\n")
    assert world.runner.ran == ["same"]
    assert sorted(stage.steps[0].outcome for stage in result.stages[:2]) == ["cached", "done"]


TWO = "FROM base AS a\nRUN one\nFROM base AS b\nRUN two\nFROM scratch\nCOPY --from=a /ran /\nCOPY --from=b /ran /\n"


def test_independent_stages_run_at_the_same_time() -> None:
    world = memory_world()
    both = threading.Barrier(2, timeout=10)

    def meet(spec: RunSpec, tree: Tree, output: Output) -> int:
        both.wait()
        tree[f"ran/{spec.argv[-1]}"] = b""
        return 0

    world.runner.steps.update(one=meet, two=meet)
    assert world.files(world.build(TWO)) == {"one": b"", "two": b""}


def test_jobs_bound_how_many_steps_run_at_the_same_time() -> None:
    world = memory_world()
    running, most = 0, 0

    def busy(spec: RunSpec, tree: Tree, output: Output) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threading.Event().wait(0.05)
        running -= 1
        tree[f"ran/{spec.argv[-1]}"] = b""
        return 0

    world.runner.steps.update(one=busy, two=busy)
    world.build(TWO, jobs=1)
    assert most == 1


@pytest.mark.parametrize("interrupt", [False, True])
def test_the_first_failure_stops_the_rest(interrupt: bool) -> None:
    world, listener = memory_world(), Listener()
    other_runs = threading.Event()

    def fail(spec: RunSpec, tree: Tree, output: Output) -> int:
        assert other_runs.wait(10)
        if interrupt:
            raise KeyboardInterrupt
        return 1

    def long(spec: RunSpec, tree: Tree, output: Output) -> int:
        other_runs.set()
        world.runner.stopped.wait(10)
        return 0

    world.runner.steps.update(one=fail, two=long)
    with pytest.raises(KeyboardInterrupt if interrupt else BuildFailure) as caught:
        world.build(TWO, listener)
    assert world.runner.stopped.is_set()
    if not interrupt:
        assert "RUN one" in str(caught.value), "the failure is the one that came first, not that of a killed step"
    assert listener.ended["[b 2/2] RUN two"] == "canceled"
    assert {vertex.name for vertex in listener.started} == set(listener.ended)
    assert world.index.nearest("b/1", "p", "") == ()


# --- options ---------------------------------------------------------------------------------------------------------
def test_no_cache_runs_everything_and_says_so() -> None:
    world = memory_world()
    world.build("FROM base\nRUN a\nRUN b\n")
    assert decisions(world.build("FROM base\nRUN a\nRUN b\n", no_cache=True)) == ["forced", "forced"]
    assert world.runner.ran == ["a", "b", "a", "b"]
    assert decisions(world.build("FROM base\nRUN a\nRUN b\n")) == ["definition"] * 2


def test_no_cache_for_one_stage() -> None:
    world = memory_world()
    world.build(TWO)
    result = world.build(TWO, no_cache_stages=frozenset({"b"}))
    assert world.runner.ran[2:] == ["two"]
    assert decisions(result) == ["definition", "forced", "definition", "definition"]


def test_proxies_and_certificates_reach_the_step_and_no_key() -> None:
    world = memory_world()
    plain = world.build("FROM base\nRUN get\n")
    options = PlanOptions(LINUX, LINUX, build_args={"HTTP_PROXY": "http://p"})
    text, env = "FROM base\nRUN get\n", {"SSL_CERT_FILE": "/certs"}
    assert world.build(text, options=options, run_env=env).image_id == plain.image_id
    assert world.runner.ran == ["get"]
    world.build(text, options=options, run_env=env, no_cache=True)
    assert world.runner.specs["get"].env == {
        "HTTP_PROXY": "http://p",
        "http_proxy": "http://p",
        "SSL_CERT_FILE": "/certs",
        "HOME": "/root",
        "PATH": "/bin",
    }
    record = world.index.nearest("stage-0/1", "p", "")[0]
    assert [part.name for part in record.key.parts if part.name.startswith("env ")] == ["env PATH"]


def test_home_is_the_users_unless_the_image_says_otherwise() -> None:
    world = memory_world()
    world.build("FROM base\nUSER app\nRUN a\nENV HOME=/srv\nRUN b\n")
    assert [world.runner.specs[name].env["HOME"] for name in "ab"] == ["/home/app", "/srv"]
    assert world.runner.specs["a"].user.uid == 1000


def test_a_user_that_does_not_exist() -> None:
    with pytest.raises(BuildFailure, match="nobody-knows"):
        memory_world().build("FROM base\nUSER nobody-knows\nRUN a\n")


def test_the_network_of_a_step() -> None:
    world = memory_world()
    world.build("FROM base\nRUN --network=none a\nRUN b\nRUN --network=host c\n")
    assert [world.runner.specs[name].network for name in "abc"] == ["none", "host", "host"]


def test_a_build_without_network_does_not_take_what_was_made_with_one() -> None:
    world = memory_world()
    world.build("FROM base\nRUN a\nRUN --network=host b\n")
    result = world.build("FROM base\nRUN a\nRUN --network=host b\n", network="none")
    assert outcomes(result) == ["done", "cached"], "a step that names its network keeps it"
    assert world.runner.specs["a"].network == "none"
    decision = result.stages[0].steps[0].decision
    assert isinstance(decision, Miss)
    assert [(cause.part, cause.before, cause.after) for cause in decision.causes] == [("network", "default", "none")]


# --- the image -------------------------------------------------------------------------------------------------------
def test_the_images_configuration() -> None:
    world = lesson_world()
    tag = parse_reference("app:1")
    result = world.build(LESSON, tags=(tag,))
    assert world.catalog.entries[tag].image_id == result.image_id
    with world.blobs.open(result.image_id) as stream:
        config = decode_config(stream.read())
    assert config == result.config
    assert [entry.empty_layer for entry in config.history] == [False, False, False, False, True]
    assert len(config.rootfs.diff_ids) == 5, "the base's layer and four of our own"
    records = [step.record for step in result.stages[0].steps if step.record]
    assert config.rootfs.diff_ids[1:] == tuple(record.diff_id for record in records)
    assert [entry.created for entry in config.history] == [f"2020-09-13T12:26:4{n}Z" for n in "01233"]
    assert config.created == "2020-09-13T12:26:43Z"
    assert config.runtime.exposed_ports == {"8000/tcp": {}}
    assert config.runtime.working_dir == "/app"


def test_changed_metadata_alone_gives_another_image_and_runs_nothing() -> None:
    world = memory_world()
    first = world.build("FROM base\nLABEL a=1\nRUN x\nCMD a\n")
    second = world.build("FROM base\nLABEL a=2\nRUN x\nCMD b\n")
    assert second.image_id != first.image_id
    assert (second.chain, world.runner.ran) == (first.chain, ["x"])


def test_an_image_without_any_layer() -> None:
    result = memory_world().build("FROM scratch\nCMD x\n")
    assert (result.chain, result.config.rootfs.diff_ids, result.config.created) == (None, (), None)


# --- telling ---------------------------------------------------------------------------------------------------------
def test_every_vertex_that_starts_ends() -> None:
    world, listener = lesson_world(), Listener()
    world.runner.steps["install"] = lambda spec, tree, output: output(1, b"hello\n") or 0  # type: ignore[func-returns-value]
    world.build(LESSON, listener)
    assert [vertex.number for vertex in listener.started] == list(range(1, len(listener.started) + 1))
    assert listener.ended == {
        "[internal] load build definition from Dockerfile": "done",
        "[internal] load metadata for docker.io/library/base:latest": "done",
        "[internal] load build context": "done",
        "[1/5] FROM base": "done",
        "[2/5] WORKDIR /app": "done",
        "[3/5] COPY Pipfile ./": "done",
        "[4/5] RUN install": "done",
        "[5/5] COPY . .": "done",
        "exporting to image": "done",
    }
    assert listener.output == b"hello\n"
    again = Listener()
    world.build(LESSON, again)
    assert {name for name, outcome in again.ended.items() if outcome == "cached"} == {
        "[2/5] WORKDIR /app",
        "[3/5] COPY Pipfile ./",
        "[4/5] RUN install",
        "[5/5] COPY . .",
    }


def test_warnings_of_the_plan_are_told_and_kept() -> None:
    listener = Listener()
    options = PlanOptions(LINUX, LINUX, build_args={"TYPO": "1"})
    result = memory_world().build("FROM base\n", listener, options=options)
    assert listener.warnings == list(result.warnings)
    assert [warning.reference for warning in listener.warnings] == ["usage-unused-build-arg"]


# --- scripts ---------------------------------------------------------------------------------------------------------
def write(*paths: str) -> Any:
    """A step that writes these files."""

    def step(spec: RunSpec, tree: Tree, output: Output) -> int:
        tree.update({path: path.encode() for path in paths})
        return 0

    return step


def counter(path: str) -> Any:
    """A step that is not repeatable: it writes how often it ran."""
    times = 0

    def step(spec: RunSpec, tree: Tree, output: Output) -> int:
        nonlocal times
        times += 1
        tree[path] = str(times).encode()
        return 0

    return step
