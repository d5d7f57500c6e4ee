"""A Docker daemon of the benchmark's own: private socket, store and network settings; nothing stays behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp

from bench.measure import CommandFailed, output_of


class Dockerd:
    """Runs inside a `with` block. Raises CommandFailed when the daemon does not come up within half a minute."""

    def __init__(self, work: Path) -> None:
        self._work = work
        # The path of a Unix socket has room for 107 bytes only, so the daemon's run-time files have a short one.
        self._run = Path(mkdtemp(prefix="bench-", dir="/tmp"))
        self.address = f"unix://{self._run}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def pids(self) -> list[int]:
        """The daemon and its containerd."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        return [self._process.pid, *(int(pid) for path in children for pid in path.read_text().split())]

    def __enter__(self) -> Dockerd:
        command = [
            "/usr/sbin/dockerd",
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--host",
            self.address,
        ]
        command += ["--data-root", str(self._work / "docker"), "--exec-root", str(self._run / "exec")]
        command += ["--pidfile", str(self._run / "docker.pid"), "--log-level", "error"]
        with (self._work / "dockerd.log").open("wb") as log:
            # A group of its own: ctrl-C reaches the benchmark alone, which then stops the daemon in order.
            self._process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until_it_answers(self) -> None:
        for _ in range(150):
            try:
                output_of(
                    ["/usr/bin/docker", "--host", self.address, "version"], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
                )
                return
            except CommandFailed:
                time.sleep(0.2)
        raise CommandFailed("dockerd does not answer:\n" + (self._work / "dockerd.log").read_text()[-2000:])

    def __exit__(self, *exc: object) -> None:
        """Stop the daemon, unmount what it forgets, delete its run-time files."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        unmount_below(self._run)
        unmount_below(self._work)
        shutil.rmtree(self._run, ignore_errors=True)


def unmount_below(directory: Path) -> None:
    """Unmount all that is mounted below `directory`, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", point], check=False)
