"""A plan with nothing to do, answered from a memo: it says what the ordinary way says, and nothing else."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.command import Command, write
from tests.support.memos import DOCKERFILE, FILES, memos, modules_of

SHAPES = {
    "stages": DOCKERFILE,
    "steps that ran": (
        "FROM base AS one\nRUN sleep 0.1; echo 1 > /one\nWORKDIR /a\nADD src/one.txt .\n"
        "FROM one\nRUN <<END\ncat /one > /two\nEND\nENV WHO=\u00e9\u2026 X=1\nCOPY --link --chmod=600 src /s\n"
        "RUN --mount=type=bind,source=src,target=/m cp /m/two.py /three  # " + "long " * 50 + "\n"
    ),
    "no files": "FROM base\nRUN true\n",
    "nothing at all": "FROM scratch\nLABEL a=b\n",
}


@pytest.fixture
def ready(lamina: Command) -> Command:
    lamina.run("tag", "busybox", "base").ok()
    return lamina


@pytest.fixture(scope="module")
def old_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a context for each of `SHAPES`, of more than two seconds ago."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, text in SHAPES.items():
        write(folder / name, FILES | {"Dockerfile": text})
    time.sleep(2.05)
    return folder


def without_memos(lamina: Command) -> None:
    shutil.rmtree(lamina.root / "unchanged", ignore_errors=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_from_the_memo_is_the_ordinary_one_byte_for_byte(ready: Command, old_shapes: Path, shape: str) -> None:
    context = old_shapes / shape
    given = ("--build-arg", "UNUSED=1", "--build-arg=OTHER=2", "--network", "host")
    for _ in range(2):
        ready.run("build", "-t", "app", "--label=x=y", "-q", *given, context).ok()
    for words in ((), ("--json",), ("--budget", "9s"), ("--no-observe", "--budget=0", "--json")):
        line = ("plan", *given, *words, context)
        assert "lamina.api" not in modules_of(ready, *line), "the build knew what a plan would say"
        replayed = ready.run(*line).ok()
        kept = {path: path.read_bytes() for path in memos(ready)}
        without_memos(ready)
        ordinary = ready.run(*line).ok()
        assert (replayed.raw, replayed.err) == (ordinary.raw, ordinary.err)
        assert "lamina.api" not in modules_of(ready, *line), "the plan left a memo of its own"
        assert ready.run(*line).ok().raw == ordinary.raw
        for path, data in kept.items():
            path.write_bytes(data)
            path.chmod(0o600)


def test_plans_that_are_asked_otherwise_are_not_answered_from_the_memo(ready: Command, old_shapes: Path) -> None:
    for _ in range(2):
        ready.run("build", old_shapes / "stages").ok()
    assert "all 4 steps are cached" in ready.run("plan", old_shapes / "stages").ok().out
    for words in (("--no-cache",), ("--no-cache-filter", "first"), ("--build-arg", "BASE=scratch")):
        assert ready.run("plan", *words, old_shapes / "stages").code == 10
    assert ready.run("plan", "--budget", "soon", old_shapes / "stages").code == 2
    assert ready.run("plan", "--budget", "9ms", old_shapes / "stages").code == 2
    assert ready.run("plan", "--platform", "nowhere/x/y/z", old_shapes / "stages").code == 2
    assert ready.run("plan", "--target", "none", old_shapes / "stages").code not in (0, 10)


def test_a_plan_below_the_users_configuration(ready: Command, old_shapes: Path, tmp_path: Path) -> None:
    """What the user's file says counts for a plan too: a bad one is an error with or without a memo."""
    config = tmp_path / "config/lamina/config.toml"
    user = Command(ready.root, env={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    for _ in range(2):
        user.run("build", old_shapes / "stages").ok()
    assert "lamina.api" not in modules_of(user, "plan", old_shapes / "stages")
    write(config.parent, {config.name: "cache-from = 1\n"})
    assert user.run("plan", old_shapes / "stages").code == user.run("build", old_shapes / "stages").code == 2
    assert ready.run("plan", old_shapes / "stages").ok()


def test_a_plan_fits_the_terminal(ready: Command, old_shapes: Path) -> None:
    context = old_shapes / "steps that ran"
    for _ in range(2):
        ready.run("build", context).ok()

    def on_terminal(columns: int) -> bytes:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        environment = {name: value for name, value in ready.environment().items() if name not in ("COLUMNS", "LINES")}
        line = ready.line("plan", context)
        with subprocess.Popen(line, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
            os.close(theirs)
            said = b""
            with suppress(OSError):  # how a terminal says that the other side is gone
                while piece := os.read(ours, 4096):
                    said += piece
        os.close(ours)
        assert process.returncode == 0, said
        return said

    for columns in (30, 70, 400):
        replayed = on_terminal(columns)
        kept = memos(ready)
        folder = (ready.root / "unchanged").rename(ready.root / "away")
        assert on_terminal(columns) == replayed
        without_memos(ready)
        folder.rename(ready.root / "unchanged")
        assert memos(ready) == kept
