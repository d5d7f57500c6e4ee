"""Ports of steps that run: one process in isolation, what it is given, what it is seen to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from lamina.keys.looks import Look
from lamina.ports.layers import User
from lamina.ports.storing import Workspace


class Mount(Struct, frozen=True):
    """Something from outside that a step sees at `target` (absolute, in the step's root).

    `bind`: the file or directory `source`. `tmpfs`: an empty file system in memory. `tree`: `path` inside the stack
    `layers` (topmost first; links resolved inside it), whose writes are thrown away. `data`: a file with these bytes,
    which are only ever in memory. `socket`: connections go to the Unix socket `source`, whoever the step's user is.
    """

    kind: Literal["bind", "tmpfs", "tree", "data", "socket"]
    target: str
    source: Path | None = None
    read_only: bool = True
    size: int | None = None
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    layers: tuple[Path, ...] = ()
    path: str = "/"
    data: bytes = b""

    def __repr__(self) -> str:
        """Without `data`, which may be a secret."""
        return f"Mount({self.kind} {self.target})"


class Limit(Struct, frozen=True):
    """A resource limit of a step's processes, by Docker's name (`nofile`); -1 is unlimited."""

    name: str
    soft: int
    hard: int


class RunSpec(Struct, frozen=True):
    """One isolated process. `argv[0]` is looked up in the step's own PATH. `env` is complete: nothing is inherited.
    `hosts` are lines for /etc/hosts, as (name, address); `shm_size` is the bytes of /dev/shm."""

    work: Workspace
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    user: User
    network: Literal["host", "none"] = "host"
    hostname: str = "buildkitsandbox"
    mounts: tuple[Mount, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    shm_size: int | None = None
    insecure: bool = False
    interactive: bool = False
    stdin: bytes | None = None
    architecture: str = ""


class Runner(Protocol):
    """Runs one process in a root file system made of a workspace. See `runtime`."""

    @property
    def name(self) -> str:
        """What the output calls it, such as `bubblewrap, root, overlay`."""

    def run(self, spec: RunSpec, output: Callable[[int, bytes], None]) -> int:
        """Run to the end and return the exit status (128 + n after signal n). Bytes go to `output(stream, data)`; in
        interactive mode the process has the caller's terminal instead. Raises BuildFailure `runtime-…`."""

    def stop(self) -> None:
        """Kill every process of every running step; their `run` calls return. Safe from any thread."""


class Watched(Protocol):
    """Layers that are being observed. `layers` are directories to be mounted in place of those that were given."""

    @property
    def layers(self) -> tuple[Path, ...]: ...
    def looks(self) -> tuple[frozenset[Look], ...]:
        """All that was looked at in each layer so far, once nothing can look any more (the step's root is unmounted).

        Raises BuildFailure `runtime-observer-lost` if not all of it is known: the observer died, or ran out of memory.
        """


class Observer(Protocol):
    """Shows layer directories to a step through file systems that note every look."""

    def watch(self, layers: Sequence[Path], scratch: Path) -> AbstractContextManager[Watched]:
        """Make copies of these layers' views below `scratch`, gone after the block.

        Raises BuildFailure `runtime-no-observer` where this machine cannot do that.
        """


class CacheMounts(Protocol):
    """The folders behind `RUN --mount=type=cache`."""

    def lease(
        self, name: str, sharing: Literal["shared", "private", "locked"], make: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """The folder `name` for the length of a block. `make(folder)` fills a fresh, empty one and gives it mode and
        owner. Sharing as in the Dockerfile reference: `shared` with anybody, `locked` waits until it is alone,
        `private` gets another folder if this one is in use."""
