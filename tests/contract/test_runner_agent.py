"""`ports.Runner`: a step talks to a socket of the machine, whoever its user is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.runner_bench import RUNNERS, Bench, bench_of
from tests.support.runner_process import MountOrder
from tests.support.waiting import PATIENCE

PLACE = "/run/buildkit/ssh_agent.0"
TOOLS = tuple(MountOrder("bind", path, str(Path(path).resolve())) for path in ("/usr", "/lib", "/lib64"))


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(*RUNNERS[request.param]) as bench:
        yield bench


@contextmanager
def agent(bench: Bench) -> Iterator[Path]:
    """An ssh-agent of the user who runs lamina, with one key."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-agent-"))
    os.chown(folder, *bench.owner)
    as_owner = ["setpriv", f"--reuid={bench.owner[0]}", f"--regid={bench.owner[1]}", "--clear-groups"]
    environment = {**os.environ, "SSH_AUTH_SOCK": str(folder / "agent"), "HOME": str(folder)}
    with subprocess.Popen(
        [*as_owner, "ssh-agent", "-D", "-a", str(folder / "agent")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            for command in (
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the-key", "-f", str(folder / "key")],
                ["ssh-add", "-q", str(folder / "key")],
            ):
                subprocess.run([*as_owner, *command], env=environment, check=True)
            yield folder / "agent"
        finally:
            process.terminate()
    shutil.rmtree(folder)


def order(source: Path, mode: int | None = None, uid: int = 0) -> MountOrder:
    return MountOrder("socket", PLACE, str(source), mode=mode, uid=uid)


def test_an_agent_answers_whom_the_mode_admits(bench: Bench) -> None:
    environment = {"PATH": "/bin:/usr/bin", "SSH_AUTH_SOCK": PLACE, "HOME": "/"}
    script = f"ssh-add -l; stat -c '%F %a %u' {PLACE}"
    with agent(bench) as source:
        root, user, other = bench.perform(
            bench.step(script, env=environment, mounts=(order(source), *TOOLS)),
            bench.step(script, env=environment, mounts=(order(source, uid=1000), *TOOLS), uid=1000, gid=1000),
            bench.step(script, env=environment, mounts=(order(source), *TOOLS), uid=1001, gid=1001, network="none"),
        )
    assert "the-key (ED25519)" in root.out, root.err
    assert root.out.endswith("socket 600 0\n")
    assert "the-key (ED25519)" in user.out, user.err
    assert user.out.endswith("socket 600 1000\n")
    assert "the-key" not in other.out
    assert "ermission" in other.err
    assert list(bench.folder.glob("step*/upper/*")) == []


def test_a_place_without_a_socket_is_named(bench: Bench) -> None:
    done = bench.run("true", mounts=(order(bench.folder / "nothing"),))
    assert done.failure == "runtime-mount-source"
    assert "nothing" in (done.message or "")


def test_a_socket_that_nobody_serves_any_more_refuses_the_step(bench: Bench) -> None:
    source = bench.folder / "gone"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source))
    os.chown(source, *bench.owner)
    environment = {"PATH": "/bin:/usr/bin", "SSH_AUTH_SOCK": PLACE, "HOME": "/"}
    done = bench.run("ssh-add -l; echo $?", env=environment, mounts=(order(source), *TOOLS))
    assert done.out.split()[-1] != "0"
    assert done.seconds < 10


def test_a_connection_that_is_still_open_does_not_delay_the_end(bench: Bench) -> None:
    source = bench.folder / "mute"
    program = (
        "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un($ARGV[0])) or die $!;"
        'syswrite $s, "hello"; exec "/bin/sleep", 1000'
    )
    heard: list[bytes] = []
    mark = bench.layer("mark")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source))
        os.chown(source, *bench.owner)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    heard.append(data)
                    (mark / "heard").touch()

        server = threading.Thread(target=serve)
        server.start()
        done = bench.run(
            f"perl -e '{program}' {PLACE} & until test -e /mark/heard; do sleep 0.02; done; exit 4",
            env={"PATH": "/bin:/usr/bin"},
            mounts=(order(source), MountOrder("bind", "/mark", str(mark)), *TOOLS),
        )
        server.join(PATIENCE)
    assert done.code == 4, done.err
    assert b"".join(heard) == b"hello"
