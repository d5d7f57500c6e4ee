"""A process of its own for observed steps, as `runner_process` is for others.

`python observed_process.py ORDERS [USER]` reads `Orders` from a JSON file, becomes USER if one is named, runs each step
with its first layer observed and prints a JSON list of `Seen`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from tests.support.runner_process import Outcome, Step, become, perform

from lamina.diagnostics import BuildFailure
from lamina.ports.running import Runner
from lamina.runtime.observer import FuseObserver
from lamina.runtime.select import choose


class Orders(Struct, frozen=True):
    """`killed` kills the observer as soon as a step has said something."""

    runtime: str
    device: str
    steps: tuple[Step, ...]
    killed: bool = False


class Seen(Struct, frozen=True):
    """What a step did, and `kind path` of all looks into its first layer. `failure` is that of the observer; `left` are
    the mounts and folders of it that there still are."""

    outcome: Outcome | None = None
    looks: tuple[str, ...] = ()
    failure: str | None = None
    cause: str | None = None
    hint: str | None = None
    left: tuple[str, ...] = ()


def servers(parent: int) -> list[int]:
    """The observing processes of a process."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for listing in children for pid in _read(listing).split()]
    return [pid for pid in pids if b"fuse_server" in _read(Path(f"/proc/{pid}/cmdline"))]


def _read(file: Path) -> bytes:
    """What is in a file of a process; nothing if that has ended meanwhile."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def kill_servers() -> None:
    for pid in servers(os.getpid()):
        os.kill(pid, signal.SIGKILL)


def observe(runner: Runner, orders: Orders, step: Step) -> Seen:
    """Run one step with its first layer observed."""
    scratch = Path(step.folder) / "scratch"
    scratch.mkdir(parents=True)
    outcome = None
    try:
        with FuseObserver(Path(orders.device)).watch([Path(step.layers[0])], scratch) as watched:
            given = replace(step, layers=(str(watched.layers[0]), *step.layers[1:]))
            outcome = perform(runner, given, *((kill_servers,) if orders.killed else ()))
            looks = [f"{look.kind} {printable(look.path)}" for look in watched.looks()[0]]
    except BuildFailure as failure:
        lost = failure.diagnostic
        return Seen(outcome, (), lost.reference, lost.cause, lost.hint, left(scratch))
    return Seen(outcome, tuple(sorted(looks)), left=left(scratch))


def printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def left(scratch: Path) -> tuple[str, ...]:
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if line.split()[2] == "fuse"]
    return (*mounts, *(path.name for path in scratch.glob("observed*")), *map(str, servers(os.getpid())))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        become(sys.argv[2], [sys.base_prefix, str(Path(__file__).parents[2])])
        os.execv(sys.executable, [sys.executable, __file__, sys.argv[1]])
    given = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    chosen = choose(given.runtime)
    print(msgspec.json.encode([observe(chosen, given, step) for step in given.steps]).decode())  # noqa: T201
