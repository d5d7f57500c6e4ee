"""Carrying out one step in a workspace: run the process, place the files, make the directory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from itertools import groupby

from lamina.diagnostics import BuildFailure
from lamina.engine.job import Job
from lamina.engine.reading import Outside
from lamina.engine.world import Tools
from lamina.plan.args import PROXY_NAMES
from lamina.plan.steps import CopyOp, HttpSource, RunOp, Step, WorkdirOp
from lamina.ports.layers import Earlier, Placement
from lamina.ports.running import Mount, RunSpec
from lamina.ports.storing import Workspace

_TAIL_LINES = 40
_TAIL_BYTES = 16_384


class Tail:
    """Passes a step's output on and keeps the last lines of it for the error message."""

    def __init__(self, sink: Callable[[int, bytes], None]) -> None:
        self._sink = sink
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def __call__(self, stream: int, data: bytes) -> None:
        self._sink(stream, data)
        self._chunks.append(data)
        self._size += len(data)
        while self._size - len(self._chunks[0]) > _TAIL_BYTES:
            self._size -= len(self._chunks.popleft())

    def lines(self) -> tuple[str, ...]:
        text = b"".join(self._chunks).decode("utf-8", "replace").rstrip("\n")
        return tuple(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")[-_TAIL_LINES:]) if text else ()


def run(
    op: RunOp, step: Step, job: Job, tools: Tools, work: Workspace, outside: Outside, architecture: str, tail: Tail
) -> None:
    """RUN. Raises BuildFailure `step-failed` with the exit status and the last lines of the output."""
    request = job.request
    user = tools.layers.resolve_user(work.layers, op.user)
    proxies = {name: value for name, value in request.options.build_args.items() if name in PROXY_NAMES}
    # Programs look for either case, and BuildKit sets both.
    env = {spelled: value for name, value in proxies.items() for spelled in (name.upper(), name.lower())} | proxies
    env.update(request.run_env)
    if request.step_epoch is not None:
        env["SOURCE_DATE_EPOCH"] = str(request.step_epoch)
    env.setdefault("HOME", user.home)
    env.update(op.env)
    network = op.network if op.network != "default" else request.network
    with ExitStack() as held:
        mounts: tuple[Mount, ...] = request.run_mounts
        if op.mounts or op.script:
            # Imported here: most steps mount nothing.
            from lamina.engine.mounting import Mounting

            mounting = Mounting(step, job, tools, work, outside, held)
            mounts += mounting.all(op)
            env.update(mounting.environment)
        status = tools.runner.run(
            RunSpec(
                work=work,
                argv=op.argv,
                env=env,
                cwd=op.cwd,
                user=user,
                network="none" if network == "none" else "host",
                mounts=mounts,
                hostname=op.hostname or "buildkitsandbox",
                hosts=request.hosts,
                limits=request.limits,
                shm_size=request.shm_size,
                insecure=op.security == "insecure",
                architecture=architecture,
            ),
            tail,
        )
    job.check()  # a step that was killed because another failed has nothing of its own to say
    if status != 0:
        from lamina.engine.hints import step_hint

        output = tail.lines()
        raise BuildFailure(
            "step-failed",
            f"{step.text.partition(chr(10))[0]!r} did not succeed: {_status(status)}",
            span=step.span,
            hint=step_hint(status, output),
            excerpt=output,
        )


def copy(op: CopyOp, outside: Outside, tools: Tools, work: Workspace, earlier: Earlier | None) -> None:
    """COPY and ADD: one placement for each run of sources that are read from the same place."""
    owner = tools.layers.resolve_owner(work.layers, op.chown) if op.chown else None
    for place, group in groupby(outside.each(op), key=lambda each: each[0]):
        sources = list(group)
        remote = [read.source.unpack for _, read, _ in sources if isinstance(read.source, HttpSource)]
        placement = Placement(
            dest=op.dest,
            dest_is_dir=op.dest_is_dir,
            groups=tuple(selection for _, _, facts in sources for selection in facts.selections),
            owner=owner,
            chmod=op.chmod,
            unpack=remote[0] if remote else op.unpack and isinstance(sources[0][1].source, str),
            source=place if isinstance(place, tuple) else None,
            earlier=earlier,
        )
        tools.layers.place(work, placement, None if isinstance(place, tuple) else place)


def workdir(op: WorkdirOp, tools: Tools, work: Workspace) -> None:
    """WORKDIR."""
    user = tools.layers.resolve_user(work.layers, op.user)
    tools.layers.make_directory(work, op.path, (user.uid, user.gid))


def _status(status: int) -> str:
    return f"killed by signal {status - 128}" if 128 < status < 160 else f"exit status {status}"
