"""A real Docker daemon for tests: Debian's `dockerd` on a socket of its own, stopped by its pid.

It makes no network and touches no firewall rules, so containers run with `--network none` or `host`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp


@dataclass(frozen=True)
class Built:
    """What a build came to: an image ID, or None and what was said."""

    image: str | None
    said: str


@dataclass(frozen=True)
class Docker:
    """The client of a running daemon."""

    socket: Path

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> str:
        """Run a docker command, which must succeed; returns what it printed."""
        command = ["/usr/bin/docker", "-H", f"unix://{self.socket}", *map(str, words)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def build(self, context: Path, *flags: str) -> Built:
        """Build `context` with the daemon's own BuildKit; steps see the host's network, for there is no other."""
        command = ["/usr/bin/docker", "-H", f"unix://{self.socket}", "build", "--progress=plain", "--network=host"]
        image = context.with_suffix(".id")
        done = subprocess.run(
            [*command, "--iidfile", str(image), *flags, str(context)],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Built(image.read_text() if done.returncode == 0 else None, done.stderr.decode(errors="replace"))

    def save(self, image: str) -> bytes:
        """An image as the archive that `docker save` makes."""
        command = ["/usr/bin/docker", "-H", f"unix://{self.socket}", "save", image]
        return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout


@contextmanager
def running_docker(folder: Path) -> Iterator[Docker]:
    """Start a daemon whose files lie below `folder`; it ends with the block, and its mounts with it."""
    # A socket's path must be short, so neither the daemon's nor containerd's is below pytest's folders.
    run = Path(mkdtemp(prefix="lamina-docker-", dir="/tmp"))
    socket = run / "docker.sock"
    log = folder / "docker.log"
    command = [
        "/usr/sbin/dockerd",
        *("--iptables=false", "--bridge=none", "--storage-driver=vfs", "-H", f"unix://{socket}"),
        *("--data-root", str(folder / "data"), "--exec-root", str(run / "exec")),
        *("--pidfile", str(folder / "docker.pid")),
    ]
    with log.open("wb") as output:
        # In a mount namespace of its own: what the daemon mounts goes away with it.
        process = subprocess.Popen(["unshare", "--mount", "--", *command], stdout=output, stderr=output)
    try:
        _wait_until_ready(process, socket, log)
        yield Docker(socket)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(run, ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        probe = ["/usr/bin/docker", "-H", f"unix://{socket}", "version"]
        if socket.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"dockerd did not start:\n{log.read_text(errors='replace')[-3000:]}")
