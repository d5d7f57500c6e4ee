"""Carrying out one step in a workspace: run the process, place the files, make the directory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.engine.inputs import CopyInputs
from lamina.engine.job import Job
from lamina.engine.world import Tools
from lamina.plan.args import PROXY_NAMES
from lamina.plan.steps import CopyOp, RunOp, Step, WorkdirOp
from lamina.ports import ContextReader, Earlier, Placement, RunSpec, Workspace

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


def run(op: RunOp, step: Step, job: Job, tools: Tools, work: Workspace, tail: Tail) -> None:
    """RUN. Raises BuildFailure `step-failed` with the exit status and the last lines of the output."""
    request = job.request
    user = tools.layers.resolve_user(work.layers, op.user)
    env = {name: value for name, value in request.options.build_args.items() if name in PROXY_NAMES}
    env.update(request.run_env)
    env.setdefault("HOME", user.home)
    env.update(op.env)
    network = op.network if op.network != "default" else request.network
    status = tools.runner.run(
        RunSpec(
            work=work,
            argv=op.argv,
            env=env,
            cwd=op.cwd,
            user=user,
            network="none" if network == "none" else "host",
            mounts=request.run_mounts,
        ),
        tail,
    )
    job.check()  # a step that was killed because another failed has nothing of its own to say
    if status != 0:
        raise BuildFailure(
            "step-failed",
            f"{step.text.partition(chr(10))[0]!r} did not succeed: {_status(status)}",
            span=step.span,
            hint=_STATUS_HINTS.get(status),
            excerpt=tail.lines(),
        )


def copy(
    op: CopyOp,
    inputs: CopyInputs,
    source: tuple[Path, ...] | None,
    context: ContextReader,
    tools: Tools,
    work: Workspace,
    earlier: Earlier | None,
) -> None:
    """COPY and ADD; `source` is the stack of layers to copy from, None for the build context."""
    owner = tools.layers.resolve_owner(work.layers, op.chown) if op.chown else None
    placement = Placement(
        dest=op.dest,
        dest_is_dir=op.dest_is_dir,
        groups=tuple(selection for facts in inputs.sources for selection in facts.selections),
        owner=owner,
        mode=op.chmod,
        unpack=op.unpack,
        source=source,
        earlier=earlier,
    )
    tools.layers.place(work, placement, context if source is None else None)


def workdir(op: WorkdirOp, tools: Tools, work: Workspace) -> None:
    """WORKDIR."""
    user = tools.layers.resolve_user(work.layers, op.user)
    tools.layers.make_directory(work, op.path, (user.uid, user.gid))


_STATUS_HINTS = {
    126: "the command was found but cannot be executed: check its mode and its #! line",
    127: "the command was not found in the step's PATH",
    137: "the process was killed: often the machine had no memory left",
}


def _status(status: int) -> str:
    return f"killed by signal {status - 128}" if 128 < status < 160 else f"exit status {status}"
