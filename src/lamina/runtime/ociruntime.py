"""Steps under an OCI runtime (runc, crun, youki): the runner for who wants one, or needs setuid programs in a step."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec

from lamina.diagnostics import BuildFailure
from lamina.ports.running import RunSpec
from lamina.runtime import bundle, cgroups, foreign, limits, process, rootfs
from lamina.runtime.namespace import Rung


class _LogEntry(msgspec.Struct):
    level: str = ""
    msg: str = ""


#: Made on import, which is one thread's: msgspec (0.22) crashes when two look at a type for the first time at once.
_LOG_ENTRY = msgspec.json.Decoder(_LogEntry)


class OciRunner:
    """`ports.Runner` over a program with runc's command line."""

    def __init__(self, rung: Rung, program: str) -> None:
        self._rung = rung
        self._program = program
        self._running = process.Running()
        self._numbers = itertools.count(1)
        cgroups.sweep()

    @property
    def name(self) -> str:
        return f"{Path(self._program).name}, {self._rung.name}, overlay"

    def stop(self) -> None:
        self._running.stop()

    def run(self, spec: RunSpec, output: process.Output) -> int:
        rootfs.check_user(spec, self._rung)
        foreign.check(spec.architecture, spec.work.scratch)
        limits.check(spec.limits, self._rung)
        container = cgroups.name(next(self._numbers))
        with rootfs.prepared(spec, self._rung) as root:
            folder = spec.work.scratch / "bundle"
            folder.mkdir(exist_ok=True)
            configuration = bundle.configuration(spec, root, self._rung, container)
            (folder / "config.json").write_bytes(msgspec.json.encode(configuration))
            log = folder / "log.json"
            command = [self._program, "--root", str(folder / "state"), "--log", str(log), "--log-format", "json"]
            command += ["run", "--bundle", str(folder), container]
            try:
                with process.supervised(command, spec, own_proc=True) as child, self._running.watched(*child.pidfds()):
                    code, _ = process.pump(child, output, spec.stdin)
            finally:
                cgroups.remove(container)
            if self._running.stopped:
                return process.STOPPED
            if code < 0:
                return 128 - code
            self._check(log, code)
            return code

    def _check(self, log: Path, code: int) -> None:
        """A runtime's own failure looks like the step's, but for what it logs."""
        if code == 0 or not log.exists():
            return
        for line in log.read_bytes().splitlines():
            entry = _LOG_ENTRY.decode(line)
            if entry.level in ("error", "fatal"):
                raise BuildFailure(
                    "runtime-oci-failed", f"{Path(self._program).name} could not run the step", cause=entry.msg
                )
