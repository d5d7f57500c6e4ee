"""Timing one command: seconds of wall clock and the peak memory of its process tree."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

TIMEOUT = 1200.0


class Sample(Struct, frozen=True):
    """One run: seconds, and MiB of the largest process in the tree (plus the daemon's, where a tool has one). `memo`:
    whether lamina answered from the memo of an earlier build."""

    seconds: float
    peak_mib: float
    memo: bool = False


class CommandFailed(Exception):
    """A measured command did not succeed; the text holds the command and the end of its output."""


def timed(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Sample:
    """Run `command` with its output in `log`. Raises CommandFailed.

    The peak is `ru_maxrss` of wait4: the largest of the command and all descendants that were waited for. It is never
    below this program's own size, since a child shares that memory until it executes.
    """
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait(30)
            raise
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait for it again
    if process.returncode:
        tail = log.read_text(errors="replace")[-2000:]
        raise CommandFailed(f"{' '.join(command)}: exit status {process.returncode}\n{tail}")
    return Sample(seconds, usage.ru_maxrss / 1024)


def written_out(place: Path) -> None:
    """Write what waits for the disk of `place`, and of no other file system: others may be busy with theirs."""
    subprocess.run(["sync", "--file-system", str(place)], check=True)


def cleared(place: Path) -> None:
    """Delete `place`, again while something is made in it: the process that syncs a store of lamina's in the background
    may still be at work there. Raises OSError if that does not end."""
    for _ in range(100):
        try:
            shutil.rmtree(place)
        except FileNotFoundError:
            if not place.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
        time.sleep(0.05)
    shutil.rmtree(place)


def output_of(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What an unmeasured command prints. Raises CommandFailed."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    if done.returncode:
        raise CommandFailed(
            f"{' '.join(command)}: exit status {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}"
        )
    return done.stdout.strip()


class DaemonMemory:
    """The peak resident memory of running processes since `reset`."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = tuple(pids)

    def reset(self) -> None:
        """Forget the peaks so far (proc(5): writing 5 to clear_refs)."""
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """The sum of the peaks in MiB."""
        return sum(_high_water_kib(pid) for pid in self._pids) / 1024


def _high_water_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
