"""`ports.Runner`: when a step ends, is stopped, or loses its lamina, nothing of it is left; and who may reach it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.runner_bench import RUNNERS, Bench, bench_of, environment
from tests.support.runner_process import Step
from tests.support.waiting import PATIENCE, wait_for


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(*RUNNERS[request.param]) as bench:
        yield bench


def sleep_then_stat(path: Path) -> int:
    time.sleep(0.1)
    return path.stat().st_mtime_ns


def test_processes_of_the_machine_are_out_of_sight(bench: Bench) -> None:
    done = bench.run("ls -d /proc/[0-9]* | wc -l; echo $$")
    count, pid = done.out.split()
    assert int(count) < 6
    assert pid == "1"


def test_a_process_left_behind_is_killed(bench: Bench) -> None:
    mark = bench.layer("mark")
    done = bench.run(
        "(while :; do date +%N >/mark/beat; sleep 0.01; done) >/dev/null 2>&1 &"
        "until test -s /mark/beat; do sleep 0.01; done",
        mounts=(("bind", "/mark", str(mark), False),),
    )
    assert done.code == 0
    beat = (mark / "beat").stat().st_mtime_ns
    assert sleep_then_stat(mark / "beat") == beat


def test_a_process_that_keeps_the_output_open_does_not_delay_the_end(bench: Bench) -> None:
    done = bench.run("sleep 1000 & exit 5")
    assert done.code == 5


def test_stop_kills_at_once_from_another_thread(bench: Bench) -> None:
    mark = bench.layer("mark")
    stopped, after = bench.perform(
        bench.step(
            "trap '' TERM INT; while :; do date +%N >/mark/beat; sleep 0.01; done",
            mounts=(("bind", "/mark", str(mark), False),),
            stop_when=str(mark / "beat"),
        ),
        bench.step("sleep 1000"),
    )
    assert stopped.code == 137
    assert after.code == 137
    beat = (mark / "beat").stat().st_mtime_ns
    assert sleep_then_stat(mark / "beat") == beat


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04])
def test_stop_at_any_moment_of_the_start_leaves_nothing(bench: Bench, delay: float) -> None:
    mark = unique()
    done = bench.run(f"sleep {mark}", stop_after=delay)
    assert done.code == 137
    assert processes(f"sleep {mark}") == []


def test_the_same_user_outside_gains_nothing_from_a_step(bench: Bench) -> None:
    """Whoever owns a user namespace is root in it: a step's must not belong to the machine's user of the same id."""
    mark = unique()
    inside = 300_999 if bench.rootless else 1000
    step = bench.step(f"sleep {mark}", uid=1000, gid=1000)
    with lamina_performs(bench, step):
        wait_for(lambda: bool(sleepers(mark)))
        target = sleepers(mark)[0]
        assert Path(f"/proc/{target}").stat().st_uid == inside
        outsider = ["setpriv", f"--reuid={inside}", f"--regid={inside}", "--clear-groups"]
        refused = subprocess.run([*outsider, "nsenter", f"--user=/proc/{target}/ns/user", "id"], capture_output=True)
    assert refused.returncode != 0
    assert refused.stdout == b""


def test_sigkill_of_lamina_leaves_neither_process_nor_mount(bench: Bench) -> None:
    mark = unique()
    step = bench.step(f"echo up >/mark/up; sleep {mark}", mounts=(("bind", "/mark", str(bench.layer("mark")), False),))
    with lamina_performs(bench, step):
        wait_for(lambda: (bench.folder / "mark/up").exists())
        assert processes(f"sleep {mark}")
    wait_for(lambda: not processes(f"sleep {mark}") and not processes(step.folder))
    assert step.folder not in Path("/proc/self/mountinfo").read_text()
    shutil.rmtree(step.folder)


def test_an_interactive_step_has_the_terminal_and_its_interrupts(bench: Bench) -> None:
    script = "trap 'echo interrupted' INT; tty -s && echo ready; while ! read x; do :; done; echo got $x; exit 9"
    command = bench.command(bench.step(script, interactive=True))
    # The session's leader stays until what was printed is read: a terminal whose leader ends drops what it still holds.
    leader = ["setsid", "--ctty", "sh", "-c", 'trap : INT; "$@"; code=$?; read x; exit $code', "leader"]
    ours, theirs = pty.openpty()
    with subprocess.Popen([*leader, *command], env=environment(), stdin=theirs, stdout=theirs, stderr=theirs) as lamina:
        os.close(theirs)
        seen = b""
        for keys, expected in (
            (b"", b"ready"),
            (b"\x03", b"interrupted"),
            (b"word\n", b"got word"),
            (b"", b'"code":9'),
        ):
            os.write(ours, keys)
            # A shell looks for signals before it waits for input: one that comes between is heard at the next.
            seen = _read_until(ours, expected, seen, again=keys if keys == b"\x03" else b"")
        os.write(ours, b"read\n")
        assert lamina.wait(PATIENCE) == 0
    os.close(ours)


def _read_until(terminal: int, expected: bytes, seen: bytes, again: bytes) -> bytes:
    """Read on until `expected` was seen, for half a minute at most; types `again` after each silent second."""
    silent = 0
    while expected not in seen:
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096)
            continue
        silent += 1
        assert silent < 30, f"{expected!r} never came after {seen!r}"
        os.write(terminal, again)
    return seen


def unique() -> str:
    """A number of seconds to sleep that tells one case's process from all others."""
    return str(time.time_ns() % 10**9 + 10**9)


@contextmanager
def lamina_performs(bench: Bench, step: Step) -> Iterator[None]:
    """A lamina that carries out a step while the block runs, and is then killed without a warning."""
    lamina = subprocess.Popen(
        bench.command(step), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        lamina.kill()
        lamina.wait()


def sleepers(mark: str) -> list[str]:
    """The pids that are `sleep MARK` itself, not what started it."""
    command = f"sleep\0{mark}\0".encode()
    return [pid for pid in processes(f"sleep {mark}") if Path(f"/proc/{pid}/cmdline").read_bytes() == command]


def processes(words: str) -> list[str]:
    """The pids whose command line holds these words."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and folder.name != str(os.getpid()):
            found.append(folder.name)
    return found


@pytest.mark.parametrize("runtime", ["bwrap", "runc"])
def test_one_mapped_user_id_is_enough_for_steps_of_root(runtime: str) -> None:
    with bench_of(runtime, rootless=True, sub_ids=False) as bench:
        root, other = bench.perform(bench.step("id -u; touch /new", groups=(1, 2)), bench.step("id -u", uid=1000))
        assert root.name.endswith(", rootless-single, overlay")
        assert (root.code, root.out) == (0, "0\n")
        assert other.failure == "runtime-single-user"
