"""A build with nothing to do, and its plan, answered from a memo: it says what the ordinary way says, and is never
stale."""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, write
from tests.support.memos import DOCKERFILE, FILES, memos, modules_of

from lamina import api
from lamina.cli import unchanged
from lamina.cli.build import configure
from lamina.cli.options import Parser
from lamina.cli.remember import begin

SECONDS = re.compile(r"\b\d+\.\ds")


#: Imported before the children are forked, so that each need not do it again.
for name in ("cli.main", "cli.cache", "cli.images", "cli.importing", "image.layerio", "runtime.namespace", "store.gc"):
    import_module(f"lamina.{name}")


# --- the command ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def old_context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A context that was last changed more than two seconds ago."""
    context = write(tmp_path_factory.mktemp("old") / "a context", FILES)
    time.sleep(2.05)
    return context


@pytest.fixture
def ready(lamina: Command) -> Command:
    lamina.run("tag", "busybox", "base").ok()
    return lamina


def replays(lamina: Command, *words: str | Path) -> bool:
    """Whether these words are answered from a memo: the ordinary way leaves a log."""
    before = len(list((lamina.root / "logs").iterdir()))
    lamina.run("build", *words).ok()
    return len(list((lamina.root / "logs").iterdir())) == before


@pytest.mark.parametrize("words", [(), ("-t", "app:1", "--tag=app:2", "--label", "x=y"), ("-q", "--progress", "plain")])
def test_a_replay_says_what_the_ordinary_way_says(ready: Command, old_context: Path, words: tuple[str, ...]) -> None:
    line: tuple[str | Path, ...] = ("build", *words, "--build-arg", "UNUSED=1", old_context)
    ready.run(*line).ok()
    ordinary = ready.run(*line).ok()
    assert len(memos(ready)) == 2, "its own, and that of the plans"
    assert replays(ready, *line[1:])
    replayed = ready.run(*line).ok()
    assert SECONDS.sub("", replayed.err).splitlines() == SECONDS.sub("", ordinary.err).splitlines()
    assert replayed.out == ordinary.out
    if "-q" not in words:
        assert "cached 4 of 4 steps, 0.0s" in replayed.err
        assert "WARNING: " in replayed.err
        assert re.search(r"#\d+ \[first 3/3\] COPY \. \.\n#\d+ CACHED\n", replayed.err)
    assert [memo.stat().st_mode & 0o777 for memo in memos(ready)] == [0o600, 0o600]


def test_a_build_soon_after_an_edit_leaves_no_memo(ready: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "new", FILES)
    for _ in range(2):
        os.utime(context / "Dockerfile")
        ready.run("build", context).ok()
    assert memos(ready) == []


def test_flags_that_ask_for_work_always_get_it(ready: Command, old_context: Path, tmp_path: Path) -> None:
    for words in (("--no-cache",), ("--iidfile", tmp_path / "id"), ("-o", f"type=tar,dest={tmp_path / 'x.tar'}")):
        assert not replays(ready, *words, old_context)
        assert not replays(ready, *words, old_context)
    assert memos(ready) == []


def test_a_damaged_memo_is_as_good_as_none(ready: Command, old_context: Path) -> None:
    first = [ready.run("build", "-q", old_context).ok().out for _ in range(2)]
    whole = {memo: memo.read_bytes() for memo in memos(ready)}
    damages: list[Callable[[bytes], bytes]] = [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b"sha256:", b"sha256;", 1),
        lambda data: b"\xff" * 100,
    ]
    for damage in damages:
        for memo, data in whole.items():
            memo.write_bytes(damage(data))
        assert "lamina.api" in modules_of(ready, "plan", old_context)
        assert not replays(ready, "-q", old_context)
        for memo, data in whole.items():
            assert memo.read_bytes() != damage(data), "the ordinary way wrote it anew"
    assert replays(ready, "-q", old_context)
    assert ready.run("build", "-q", old_context).ok().out == first[0]


@pytest.mark.parametrize("command", ["build", "plan"])
def test_a_replay_imports_next_to_nothing(ready: Command, old_context: Path, command: str) -> None:
    for _ in range(2):
        ready.run("build", old_context).ok()
    modules = modules_of(ready, command, old_context)
    own = {name for name in modules if name.partition(".")[0] == "lamina"}
    assert own == {"lamina", "lamina.cli", "lamina.cli.unchanged"}
    assert not modules & {"msgspec", "argparse", "typing", "pathlib", "shutil", "subprocess", "urllib", "threading"}


def test_an_ordinary_user_may_not_be_answered_from_roots_memo(old_context: Path, ready: Command) -> None:
    for _ in range(2):
        ready.run("build", "-q", old_context).ok()
    other = Command(ready.root, prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    assert other.run("build", "-q", old_context).code != 0


# --- random edits ---------------------------------------------------------------------------------------------
class Project:
    """A context and a store, built in children of this process, which cost a fork and no start of Python."""

    def __init__(self, folder: Path, lamina: Command, *, outside: bool) -> None:
        """With `outside`, the Dockerfile and its own ignore file stand in another folder."""
        self.context = folder / "context"
        self.link = folder / "link"
        self.lamina = lamina
        self.words = ["-t", "app", "-q", str(self.link)]
        write(self.context, FILES)
        (self.context / "src/link").symlink_to("one.txt")
        self.link.symlink_to("context")
        self.outside = folder / "elsewhere" if outside else None
        if self.outside is not None:
            write(self.outside, {"Dockerfile": DOCKERFILE})
            self.words += ["-f", str(self.outside / "Dockerfile")]
        self.environment = {**os.environ, "LAMINA_ROOT": str(lamina.root)}

    @property
    def dockerfile(self) -> Path:
        return (self.outside or self.context) / "Dockerfile"

    def ordinary(self) -> dict[str, Any]:
        """The ordinary way; three seconds are added to the clock, so that a memo is written of young files."""
        return forked(self._build)

    def _build(self) -> dict[str, Any]:
        os.environ.update(self.environment)
        parser = Parser()
        configure(parser)
        parser.add_argument("--root")
        arguments = parser.parse_args(self.words, argparse.Namespace(words=tuple(self.words)))
        memory = begin(arguments, os.environ, time.time_ns() + 3_000_000_000)
        assert memory is not None
        result = api.build(arguments.context, dockerfile=arguments.file, tags=arguments.tag, after=memory.note)
        steps = [step for stage in result.stages for step in stage.steps if step.outcome != "metadata"]
        return {"image": result.image_id, "cached": all(step.outcome == "cached" for step in steps)}

    def replay(self) -> int | None:
        return unchanged.replay("build", self.words, self.environment)

    def replay_plan(self) -> int | None:
        return unchanged.replay("plan", self.planning, self.environment)

    def plan(self) -> dict[str, Any]:
        """The ordinary way."""

        def run() -> dict[str, Any]:
            from lamina.cli.main import run

            os.environ.update(self.environment)
            with redirect_stdout(io.StringIO()) as out:
                status = run(["plan", *self.planning])
            return {"status": status, "out": out.getvalue()}

        return forked(run)

    @property
    def planning(self) -> list[str]:
        return ["--json", *self.words[3:]]

    def store(self, *words: str) -> None:
        def run() -> dict[str, Any]:
            from lamina.cli.main import run

            os.environ.update(self.environment)
            return {"status": run(words)}

        assert forked(run) == {"status": 0}


def forked(work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Call `work` in a child and return what it returned."""
    read, wrote = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(wrote, json.dumps(work()).encode())
        except BaseException as error:
            os.write(wrote, json.dumps({"error": repr(error)}).encode())
        finally:
            os._exit(0)
    os.close(wrote)
    with os.fdopen(read, "rb") as answer:
        found: dict[str, Any] = json.load(answer)
    os.waitpid(child, 0)
    return found


def pick(random: random.Random, project: Project, kind: Callable[[Path], bool], below: str = "") -> Path:
    found = [path for path in sorted((project.context / below).rglob("*")) if kind(path) and path.name != "Dockerfile"]
    return random.choice(found)


def is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.name != ".dockerignore"


def flip(path: Path) -> None:
    """Other content of the same size, with the times restored."""
    status = path.stat()
    data = path.read_bytes() or b"x"
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def edit_content(random: random.Random, project: Project) -> None:
    pick(random, project, is_file).write_text(str(random.random()))


def edit_unseen(random: random.Random, project: Project) -> None:
    flip(pick(random, project, is_file))


def edit_mode(random: random.Random, project: Project) -> None:
    pick(random, project, lambda path: not path.is_symlink()).chmod(random.choice([0o700, 0o750, 0o755]))


def edit_name(random: random.Random, project: Project) -> None:
    path = pick(random, project, is_file)
    path.rename(path.with_name(f"{random.randrange(1000)}{path.suffix}"))


def edit_away(random: random.Random, project: Project) -> None:
    path = pick(random, project, is_file)
    write(path.parent, {f"more{random.randrange(1000)}.txt": "so that there is always something left"})
    path.unlink()


def edit_nested(random: random.Random, project: Project) -> None:
    suffix = random.choice(["txt", "log"])
    write(project.context / "keep", {f"in/n{random.randrange(9)}/f{random.randrange(1000)}.{suffix}": "n"})


def edit_touch(random: random.Random, project: Project) -> None:
    os.utime(pick(random, project, is_file))


def edit_ignored(random: random.Random, project: Project) -> None:
    write(project.context, {"out/ignored.txt": str(random.random())})


def edit_ignored_near(random: random.Random, project: Project) -> None:
    write(project.context, {"keep/in/side/c.log": str(random.random())})


def edit_rules(random: random.Random, project: Project) -> None:
    path = project.context / ".dockerignore"
    rules = [FILES[".dockerignore"], "src/two.py\n", "**/*.txt\n!keep\n", "out\n", None]
    chosen = random.choice(rules)
    if chosen is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(chosen)


def edit_own_rules(random: random.Random, project: Project) -> None:
    path = project.dockerfile.with_name("Dockerfile.dockerignore")
    if path.exists():
        path.unlink()
    else:
        path.write_text(random.choice(["out\n", "keep/in\n", ""]))


def edit_dockerfile(random: random.Random, project: Project) -> None:
    label = random.choice(["LABEL a=b", "LABEL a=c", "LABEL a=d"])
    project.dockerfile.write_text(DOCKERFILE.replace("LABEL a=b", label))


def edit_dockerfile_unseen(random: random.Random, project: Project) -> None:
    path = project.dockerfile
    status = path.stat()
    path.write_text(DOCKERFILE.replace("a=b", f"a={random.choice('xyz')}"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def edit_directory(random: random.Random, project: Project) -> None:
    path = project.context / "src/deep"
    shutil.copytree(path, project.context.parent / "copy")
    shutil.rmtree(path)
    (project.context.parent / "copy").rename(path)
    if random.random() < 0.5:
        flip(path / "er/three.py" if (path / "er/three.py").exists() else pick(random, project, is_file, "src"))


def edit_link(random: random.Random, project: Project) -> None:
    (project.context / "src/link").unlink()
    (project.context / "src/link").symlink_to(random.choice(["one.txt", "two.py", "nowhere"]))


def edit_context_link(random: random.Random, project: Project) -> None:
    other = project.context.parent / f"other{time.monotonic_ns()}"
    shutil.copytree(project.context, other, symlinks=True)
    if random.random() < 0.5:
        flip(pick(random, project, is_file))
    project.context = other
    project.link.unlink()
    project.link.symlink_to(other.name)


def edit_base(random: random.Random, project: Project) -> None:
    project.store("tag", random.choice(["busybox", "other"]), "base")


def edit_tag(random: random.Random, project: Project) -> None:
    project.store("tag", "other", "app")


def edit_more_tags(random: random.Random, project: Project) -> None:
    project.store("tag", random.choice(["app", "other"]), f"more:{random.randrange(10)}")


def edit_no_tag(random: random.Random, project: Project) -> None:
    project.store("rmi", "app")


def edit_prune(random: random.Random, project: Project) -> None:
    project.store("cache", "prune", *random.choice([(), ("--max-size", "1kB"), ("--older-than", "1h")]))


def edit_layer_gone(random: random.Random, project: Project) -> None:
    shutil.rmtree(random.choice(sorted((project.lamina.root / "layers").iterdir())))
    project.store("import", str(project.lamina.root.parent / "base.tar"), "busybox")


def edit_nothing(random: random.Random, project: Project) -> None:
    pass


EDITS = [value for name, value in sorted(globals().items()) if name.startswith("edit_")]
#: After these everything is cached and nothing that was looked at is different, so the memo has to answer.
HARMLESS = (edit_nothing, edit_more_tags)
ROUNDS = 8


@pytest.mark.parametrize("seed", range(2))
def test_whenever_a_replay_answers_the_ordinary_way_would_have_said_the_same(
    seed: int, tmp_path: Path, ready: Command, busybox_tar: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(busybox_tar, tmp_path / "base.tar")
    ready.run("import", busybox_tar, "other", "--env", "OTHER=1").ok()
    project = Project(tmp_path, ready, outside=seed == 0)
    chance = random.Random(seed)
    edits = [edit for edit in EDITS for _ in range(ROUNDS // 2)]
    chance.shuffle(edits)
    answered = changed = 0
    for number, edit in enumerate(edits):
        for _ in range(3):
            before = project.ordinary()
            if before.get("cached"):
                break
        assert before.get("cached"), before
        time.sleep(0.02)  # a tick of the kernel's clock; really a memo keeps two seconds away from it
        assert project.replay() == 0, f"nothing was done before edit {number}, {edit.__name__}"
        capsys.readouterr()
        assert project.replay_plan() == 0, f"nothing was done before edit {number}, {edit.__name__}"
        capsys.readouterr()
        edit(chance, project)
        status = project.replay_plan()
        said = capsys.readouterr().out
        if status is not None:
            assert {"status": status, "out": said} == project.plan(), f"edit {number}, {edit.__name__}"
        status = project.replay()
        said = capsys.readouterr().out
        after = project.ordinary()
        if status is not None:
            answered += 1
            assert (status, said) == (0, f"{after.get('image')}\n"), f"edit {number}, {edit.__name__}: {after}"
            assert after["cached"], f"edit {number}, {edit.__name__}"
        changed += after != before
        assert status == 0 or edit not in HARMLESS, f"edit {number}, {edit.__name__}"
    assert answered >= 2 * len(HARMLESS)
    assert changed >= len(edits) // 4
