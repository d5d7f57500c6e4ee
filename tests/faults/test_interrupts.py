"""Ctrl-C while a registry hangs: the command ends soon with status 130, and leaves nothing half done."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.command import Command, finish, project
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.waiting import PATIENCE, copied, wait_for

#: Long beside what an interrupt may take.
LONG = 300.0
DOCKERFILE = "FROM busybox\nCOPY random /\nRUN cat /random > /copy\n"


class Ready(NamedTuple):
    """A registry with an image and a cache, behind a proxy; a fresh machine; the project that is cached."""

    server: RegistryServer
    proxy: FaultProxy
    lamina: Command
    context: Path

    @property
    def image(self) -> str:
        return f"{self.proxy.host}/interrupts/app:1"

    @property
    def cache(self) -> str:
        return f"type=registry,ref={self.proxy.host}/interrupts/cache,timeout=200"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def ready(server: RegistryServer, lamina: Command, busybox_store: Path, tmp_path: Path) -> Iterator[Ready]:
    context = project(tmp_path / "p", DOCKERFILE)
    (context / "random").write_bytes(os.urandom(2 << 20))
    with FaultProxy(server.host) as proxy:
        made = Ready(server, proxy, lamina, context)
        lamina.build(context, "-t", made.image, "--push", "--cache-to", made.cache).ok()
        yield made._replace(lamina=Command(copied(busybox_store, tmp_path / "fresh")))


HANGING = {
    "pull-manifest": Fault("delay", "/manifests/", seconds=LONG, times=9),
    "pull-layer": Fault("hang", "/blobs/", after=100_000, seconds=LONG, times=9),
    "pull-told-to-wait": Fault("status", "/blobs/", status=429, header={"Retry-After": "30"}, times=9),
    "push-upload": Fault("delay", "/blobs/uploads/", seconds=LONG, times=9),
    "push-told-to-wait": Fault("status", "/blobs/uploads/", "PUT", status=503, header={"Retry-After": "30"}, times=9),
    "cache-from": Fault("delay", "/manifests/k-", "GET", seconds=LONG, times=99),
    "cache-layer": Fault("hang", "/blobs/sha256", "GET", after=70_000, seconds=LONG, times=99),
    "cache-to": Fault("delay", "/blobs/uploads/", seconds=LONG, times=99),
}


@pytest.mark.parametrize("case", HANGING)
def test_a_hanging_registry_delays_no_interrupt(ready: Ready, case: str) -> None:
    lamina, context = ready.lamina, ready.context
    words: tuple[str | Path, ...]
    if case.startswith("pull"):
        words = ("pull", ready.image)
    elif case.startswith("push"):
        lamina.build(context, "-t", f"{ready.proxy.host}/interrupts/{case}:1").ok()
        words = ("push", f"{ready.proxy.host}/interrupts/{case}:1")
    elif case == "cache-to":
        words = ("build", "--cache-to", ready.cache.replace("/cache", "/other"), context)
    else:
        words = ("build", "--cache-from", ready.cache, "-o", f"type=oci,dest={context}.tar", context)
    before = lamina.contents()
    ready.proxy.plan(HANGING[case])
    process = lamina.start(*words)
    while HANGING[case].times in (9, 99):
        assert process.poll() is None, finish(process).err
        time.sleep(0.01)
    time.sleep(0.3)
    interrupted(process)
    ready.proxy.plan()
    after = lamina.contents()
    if case.startswith("pull"):  # the name of an image that is known, though its layers are not all here yet
        assert after["records"] == before["records"]
    elif case != "cache-to":
        assert after == before
    assert not list((lamina.root / "tmp").iterdir())
    assert not list(context.parent.glob("*p.tar*"))
    lamina.verify()
    lamina.run(*words).ok()
    lamina.verify()


def interrupted(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a command that waits; it ends, long before its wait would, with nothing to say but that."""
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert time.monotonic() - started < LONG / 4
    assert done.code == 130, done.err
    assert done.err.endswith("\ninterrupted\n") and done.err.count("interrupted") == 1
    assert "Traceback" not in done.err and "Error" not in done.err


@pytest.mark.parametrize("kind", ["connect", "handshake", "bucket-read", "bucket-write"])
def test_what_cannot_be_cut_is_left(lamina: Command, tmp_path: Path, kind: str) -> None:
    """Before there is a connection, and in a library of its own."""
    context = project(tmp_path / "p", "FROM busybox\nRUN echo a > /a\n")
    with ExitStack() as held:
        silent = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = silent.getsockname()[1]
        if kind == "connect":
            full = socket.socket()
            held.enter_context(full)
            full.connect(("127.0.0.1", port))  # the queue is full now: nobody else gets an answer
        env = {"HOME": str(tmp_path)}
        settings = tmp_path / ".config/lamina/config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'[registry."127.0.0.1:{port}"]\ninsecure = {str(kind != "handshake").lower()}\n')
        user = Command(lamina.root, env=env)
        bucket = f"type=s3,bucket=b,region=r,endpoint_url=http://127.0.0.1:{port},access_key_id=a,secret_access_key=b"
        words: tuple[str | Path, ...] = ("pull", f"127.0.0.1:{port}/public/app:1")
        if kind.startswith("bucket"):
            words = ("build", "--cache-from" if kind == "bucket-read" else "--cache-to", bucket, context)
        process = user.start(*words)
        if kind == "connect":
            wait_for(lambda: connecting(port))
        else:
            assert select.select([silent], [], [], PATIENCE)[0]
            time.sleep(0.5)
        assert process.poll() is None, finish(process).err
        interrupted(process)
    lamina.build(context).ok()
    assert not list((lamina.root / "tmp").iterdir())
    lamina.verify()


def connecting(port: int) -> bool:
    """Whether somebody on this machine waits for a connection to the port."""
    waiting = "02"  # SYN_SENT
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any((line.split()[2].endswith(f":{port:04X}"), line.split()[3]) == (True, waiting) for line in lines)
