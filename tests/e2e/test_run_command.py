"""`lamina run`: what a command in a container sees and what comes back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.support.command import Command, finish, project
from tests.support.waiting import wait_for

TEXT = """FROM busybox
RUN echo 'ann:x:1000:1001::/home/ann:/bin/sh' >> /etc/passwd && mkdir -p /home/ann && chown 1000:1001 /home/ann
ENV A=image
WORKDIR /home/ann
USER ann
ENTRYPOINT ["echo", "entry"]
CMD ["point"]
"""


@pytest.fixture
def image(lamina: Command, tmp_path: Path) -> str:
    lamina.build(project(tmp_path / "image", TEXT), "-t", "ann").ok()
    return "ann"


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_status(lamina: Command, code: int) -> None:
    assert lamina.run("run", "busybox", "sh", "-c", f"exit {code}").code == code


def test_streams_and_input(lamina: Command) -> None:
    done = lamina.run("run", "-i", "busybox", "sh", "-c", "cat; echo err >&2", stdin=b"in\n")
    assert (done.out, done.err) == ("in\n", "err\n")


def test_entrypoint_and_command(lamina: Command, image: str) -> None:
    assert lamina.run("run", image).out == "entry point\n"
    assert lamina.run("run", image, "other", "-x").out == "entry other -x\n"
    assert lamina.run("run", "--entrypoint", "id", image, "-un").out == "ann\n"


def test_user_directory_and_environment(lamina: Command, image: str) -> None:
    script = "id -u; id -g; pwd; echo $HOME $A $B; touch mine && stat -c %u mine"
    run = ("run", "--entrypoint", "sh")
    assert lamina.run(*run, "-e", "B=given", image, "-c", script).out.split() == [
        *("1000", "1001", "/home/ann", "/home/ann", "image", "given", "1000")
    ]
    assert lamina.run(*run, "-u", "0", "-w", "/tmp", "-e", "A=", image, "-c", "id -u; pwd; echo [$A]").out == (
        "0\n/tmp\n[]\n"
    )
    assert lamina.run(*run, "-u", "nobody", image, "-c", "id -u").out == "65534\n"
    assert lamina.run(*run, "-e", "FROM_HERE", image, "-c", "echo $FROM_HERE", env={"FROM_HERE": "x"}).out == "x\n"
    assert "SECRET" not in lamina.run("run", "--entrypoint", "env", image, env={"SECRET": "x"}).out


def test_volumes(lamina: Command, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/in").write_text("in\n")
    script = "cat /mnt/in; echo out > /mnt/out"
    assert lamina.run("run", "-v", f"{tmp_path}/shared:/mnt", "busybox", "sh", "-c", script).out == "in\n"
    assert (tmp_path / "shared/out").read_text() == "out\n"
    refused = lamina.run("run", "-v", f"{tmp_path}/shared:/mnt:ro", "busybox", "sh", "-c", "echo x > /mnt/no")
    assert refused.code != 0
    assert "Read-only" in refused.err
    assert lamina.run("run", "-v", "/no/such/thing:/mnt", "busybox").code == 2


def test_nothing_that_a_container_writes_is_kept(lamina: Command) -> None:
    lamina.run("run", "busybox", "sh", "-c", "echo x > /new; rm /etc/passwd; rm -rf /bin/*").ok()
    assert lamina.run("run", "busybox", "sh", "-c", "ls /new; cat /etc/passwd").out.startswith("root:")
    lamina.verify()


def test_no_network(lamina: Command) -> None:
    seen = lamina.run("run", "--network", "none", "busybox", "cat", "/proc/net/dev").ok().out
    assert [line.split(":")[0].strip() for line in seen.splitlines()[2:]] == ["lo"]


def test_a_command_that_is_not_there(lamina: Command) -> None:
    done = lamina.run("run", "busybox", "no-such-program")
    assert done.code == 8
    assert "no-such-program" in done.err
    assert "Traceback" not in done.err


def test_an_oci_runtime_does_the_same(lamina: Command, image: str) -> None:
    assert lamina.run("run", "--runtime", "runc", image).ok().out == "entry point\n"
    assert lamina.run("run", "--runtime", "runc", "--entrypoint", "sh", image, "-c", "exit 7").code == 7


def test_a_terminated_run_takes_its_command_with_it(lamina: Command) -> None:
    mark = str(time.time_ns())
    process = lamina.start("run", "busybox", "sh", "-c", f"echo up; exec sleep {mark}")
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    finish(process)
    wait_for(lambda: not [pid for pid in os.listdir("/proc") if pid.isdigit() and mark.encode() in _line(pid)])


def _line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
