"""A process of its own for the runner under test: entering namespaces cannot be undone, and SIGKILL is a case.

`python runner_process.py ORDERS [USER]` reads `Orders` from a JSON file, becomes USER if one is named, runs the steps
one after the other and prints a JSON list of `Outcome`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.ports.layers import User
from lamina.ports.running import Limit, Mount, Runner, RunSpec
from lamina.ports.storing import Workspace
from lamina.runtime import kernel
from lamina.runtime.select import choose


class MountOrder(Struct, frozen=True, array_like=True):
    """A `Mount`, with its paths as text."""

    kind: Literal["bind", "tmpfs", "tree", "data", "socket"]
    target: str
    source: str | None = None
    read_only: bool = True
    size: int | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    layers: tuple[str, ...] = ()
    path: str = "/"
    data: bytes = b""

    def mount(self) -> Mount:
        source, layers = Path(self.source) if self.source else None, tuple(map(Path, self.layers))
        return Mount(
            self.kind,
            self.target,
            source,
            self.read_only,
            self.size,
            self.mode,
            self.uid,
            self.gid,
            layers,
            self.path,
            self.data,
        )


class Step(Struct, frozen=True):
    """A step's specification as far as cases vary it. `stop_after` calls the runner's `stop` after so many seconds,
    `stop_when` as soon as there is a file of that name; `heard` is made when the first output has come."""

    folder: str
    layers: tuple[str, ...]
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    network: str = "host"
    mounts: tuple[MountOrder, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    shm_size: int | None = None
    architecture: str = ""
    insecure: bool = False
    interactive: bool = False
    stdin: str | None = None
    stop_after: float | None = None
    stop_when: str | None = None
    heard: str | None = None


class Orders(Struct, frozen=True):
    runtime: str
    steps: tuple[Step, ...]


class Outcome(Struct, frozen=True):
    """`failure` is the reference of a BuildFailure; `seconds` is the time of `run`."""

    name: str
    code: int | None = None
    out: str = ""
    err: str = ""
    failure: str | None = None
    message: str | None = None
    cause: str | None = None
    hint: str | None = None
    seconds: float = 0.0


def perform(runner: Runner, step: Step, heard: Callable[[], object] = lambda: None) -> Outcome:
    """Run one step with the runner; `heard` is called when it has said something."""
    folder = Path(step.folder)
    for name in ("upper", "work", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "upper").chmod(0o755)
    spec = RunSpec(
        work=Workspace(tuple(map(Path, step.layers)), folder / "upper", folder / "work", folder / "scratch"),
        argv=step.argv,
        env=step.env,
        cwd=step.cwd,
        user=User(step.uid, step.gid, step.groups),
        network="none" if step.network == "none" else "host",
        mounts=tuple(order.mount() for order in step.mounts),
        hosts=step.hosts,
        limits=step.limits,
        shm_size=step.shm_size,
        architecture=step.architecture,
        insecure=step.insecure,
        interactive=step.interactive,
        stdin=None if step.stdin is None else step.stdin.encode(),
    )
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    start = time.monotonic()

    def output(stream: int, data: bytes) -> None:
        if not any(streams.values()):
            heard()
            if step.heard is not None:
                Path(step.heard).touch()
        streams[stream].append(data)

    if step.stop_after is not None:
        threading.Timer(step.stop_after, runner.stop).start()
    if step.stop_when is not None:
        threading.Thread(target=_stop_when, args=(runner, Path(step.stop_when)), daemon=True).start()
    code, failed = None, None
    try:
        code = runner.run(spec, output)
    except BuildFailure as failure:
        failed = failure.diagnostic
    return Outcome(
        runner.name,
        code,
        b"".join(streams[1]).decode(errors="replace"),
        b"".join(streams[2]).decode(errors="replace"),
        failed.reference if failed else None,
        failed.message if failed else None,
        failed.cause if failed else None,
        failed.hint if failed else None,
        time.monotonic() - start,
    )


def _stop_when(runner: Runner, path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)
    runner.stop()


def become(name: str, needed: list[str]) -> None:
    """Become another user, in a mount namespace where they can reach `needed` paths; then only exec is of use.

    The interpreter or the checkout may lie below a home directory that is closed to others.
    """
    import pwd

    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    umask = os.umask(0o022)
    held = {path: os.open(path, os.O_PATH) for path in needed}
    for path, descriptor in held.items():
        closed = [folder for folder in reversed(Path(path).parents) if not folder.stat().st_mode & 0o001]
        if closed:
            kernel.mount("none", str(closed[0]), "tmpfs", 0, "mode=755")
        if not Path(path).exists():
            Path(path).mkdir(parents=True)
            kernel.mount(f"/proc/self/fd/{descriptor}", path, None, 0x1000)
    os.umask(umask)
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in sys.path if part)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        become(sys.argv[2], [sys.base_prefix, str(Path(__file__).parents[2])])
        os.execv(sys.executable, [sys.executable, __file__, sys.argv[1]])
    orders = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    chosen = choose(orders.runtime)
    print(msgspec.json.encode([perform(chosen, step) for step in orders.steps]).decode())  # noqa: T201
