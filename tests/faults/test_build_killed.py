"""Whole builds killed or interrupted: the next one succeeds, and nothing is left of the dead one."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import IO

import pytest
from tests.support.command import Command, finish, project
from tests.support.waiting import PATIENCE

TEXT = """FROM busybox AS side
RUN sleep 0.05; head -c 2000000 /dev/urandom > /noise; echo side > /side
FROM busybox
WORKDIR /app
COPY data data
RUN mkdir many; for i in $(seq 200); do echo $i > many/$i; done
RUN sleep 0.1; head -c 3000000 /dev/zero > zeros
RUN rm -r many; sleep 0.05; echo done > done
COPY --from=side /side /side
CMD cat /side /app/done; wc -c < /app/zeros; sha256sum < /app/data/200
"""


def context_of(folder: Path) -> Path:
    return project(folder, TEXT, {f"data/{number}": f"{number}\n" * 50 for number in range(201)})


def processes_of(root: Path) -> list[str]:
    """The processes that have something to do with a store: by their words, or by what they have mounted or open."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or process.name == str(os.getpid()):
            continue
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(root) in words or str(root) in (process / "mountinfo").read_text():
                found.append(words)
        except OSError:
            continue
    return found


def quiet(root: Path) -> bool:
    """Whether no process has to do with the store any more, after a while: far less than what a step here sleeps."""
    deadline = time.monotonic() + PATIENCE
    while processes_of(root):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def wait_for_now(pipe: IO[bytes] | None) -> None:
    """Read until a step has said `now`."""
    assert pipe is not None
    for line in pipe:
        if b"now" in line.split():
            return
    raise AssertionError("the command ended before its step began")


def committed(lamina: Command) -> set[str]:
    return set(lamina.contents()["records"])


@pytest.mark.parametrize("seed", range(4))
def test_a_build_that_is_killed_at_any_moment_loses_nothing_and_leaves_nothing(
    lamina: Command, tmp_path: Path, seed: int
) -> None:
    """Twenty kills in all, five a store."""
    context = context_of(tmp_path / "context")
    moments = random.Random(seed)
    started = time.monotonic()
    lamina.build(context).ok()
    duration = time.monotonic() - started
    for number in range(5):
        # Each round builds something new from the first step on.
        (context / "Dockerfile").write_text(
            TEXT.replace("done > done", f"done{number} > done").replace("0.05", f"0.0{5 + number}")
        )
        (context / "data/0").write_text(f"{seed} {number}\n")
        delay = moments.uniform(0.1, duration)
        process = lamina.start("build", context)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        finish(process)
        before = committed(lamina)
        again = lamina.build(context, "-t", "x")
        assert again.code == 0, f"killed after {delay:.3f} s: {again.err}"
        assert committed(lamina) >= before
        assert quiet(lamina.root), processes_of(lamina.root)
        assert str(lamina.root) not in Path("/proc/mounts").read_text()
        assert not list((lamina.root / "tmp").iterdir())
    assert lamina.run("run", "x").ok().out.split()[:3] == ["side", "done4", "3000000"]
    lamina.verify()


def test_what_was_committed_before_the_kill_is_a_hit_afterwards(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN echo first > /first\nRUN echo second > /second; echo now; sleep 4241\n"
    context = project(tmp_path / "context", text)
    process = lamina.start("build", context)
    wait_for_now(process.stderr)
    process.kill()
    finish(process)
    assert quiet(lamina.root)
    (context / "Dockerfile").write_text(text.replace("; echo now; sleep 4241", ""))
    done = lamina.build(context)
    assert done.row("RUN echo first").verdict == "cached"
    assert set(done.verdicts()) == {"RUN echo second > /second"}


@pytest.mark.parametrize("command", ["build", "build-runc", "run"])
def test_an_interrupt_ends_everything_at_once(lamina: Command, tmp_path: Path, command: str) -> None:
    script = "echo now; (sleep 4243 &) ; sleep 4242"
    context = project(tmp_path / "context", f"FROM busybox\nRUN {script}\n")
    words: dict[str, tuple[str | Path, ...]] = {
        "build": ("build", "--progress", "plain", context),
        "build-runc": ("build", "--progress", "plain", "--runtime", "runc", context),
        "run": ("run", "busybox", "sh", "-c", script),
    }
    process = lamina.start(*words[command])
    wait_for_now(process.stdout if command == "run" else process.stderr)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    assert quiet(lamina.root)
    assert not list((lamina.root / "tmp").iterdir())
    lamina.verify()


def test_a_second_interrupt_does_no_harm(lamina: Command, tmp_path: Path) -> None:
    context = project(tmp_path / "context", "FROM busybox\nRUN echo now; trap '' INT TERM; sleep 4244\n")
    process = lamina.start("build", context)
    wait_for_now(process.stderr)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    done = finish(process)
    assert done.code in (130, -signal.SIGINT)
    assert quiet(lamina.root)
    lamina.build(project(tmp_path / "context", "FROM busybox\nRUN true\n")).ok()
    assert not list((lamina.root / "tmp").iterdir())
    lamina.verify()
