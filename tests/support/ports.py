"""Ports of loopback, for servers that want to be told one."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import PATIENCE

_LOWEST = 10_000
_CHANCE = random.SystemRandom()


def free_port() -> int:
    """A TCP port that nobody uses; none of those that the kernel gives to clients, which may take them at any time."""
    clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _CHANCE.randrange(_LOWEST, clients) if clients > _LOWEST else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken


@contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nobody answers, nor will while the block runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


@contextmanager
def serving(
    start: Callable[[int], subprocess.Popen[bytes]], said: Callable[[], str] = lambda: "", patience: float = 5.0
) -> Iterator[int]:
    """Have a server started on a free port, and wait until it answers there; yields the port. It is terminated with the
    block, and killed if that takes more than `patience` seconds. `said` is what it has to say if it does not start."""
    for _ in range(3):  # somebody may have taken the port in between
        port = free_port()
        process = start(port)
        if _answers(port, process):
            break
        process.kill()
        process.wait()
    else:
        raise RuntimeError(f"{process.args!r} did not start:\n{said()[-2000:]}")
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False
