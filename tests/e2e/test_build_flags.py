"""What `lamina build` is given from outside: hosts, limits, agents, entitlements, platforms; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import Command, project


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A real ssh-agent with one key."""
    key, socket = tmp_path / "key", tmp_path / "agent"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lamina-key", "-f", key], check=True)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert process.poll() is None
    environment = {"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin:/bin"}
    subprocess.run(["ssh-add", "-q", key], env=environment, check=True)
    yield socket
    process.terminate()
    process.wait()


def test_hosts_limits_and_shared_memory(lamina: Command, tmp_path: Path) -> None:
    text = """FROM busybox
RUN grep -w data.test /etc/hosts > /seen; ulimit -n >> /seen; df -k /dev/shm | tail -1 | awk '{print $2}' >> /seen
"""
    folder = project(tmp_path / "p", text)
    flags = ("--add-host", "data.test:10.1.2.3", "--ulimit", "nofile=321:654", "--shm-size", "3m")
    lamina.build(folder, *flags, "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/seen").out.split() == ["10.1.2.3", "data.test", "321", "3072"]
    # Names count, addresses and limits do not.
    assert lamina.build(folder, "--add-host", "data.test=10.9.9.9").verdicts() == {}
    assert lamina.build(folder, "--add-host", "other:10.1.2.3").verdicts() != {}


def test_an_agent_is_lent_to_a_step(lamina: Command, tmp_path: Path, agent: Path) -> None:
    text = """FROM busybox
RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && stat -c %a:%u "$SSH_AUTH_SOCK" > /seen
RUN --mount=type=ssh,id=none test -z "$SSH_AUTH_SOCK"
"""
    folder = project(tmp_path / "p", text)
    lamina = Command(lamina.root, env={"SSH_AUTH_SOCK": str(agent)})
    lamina.build(folder, "--ssh", "default", "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/seen").out == "600:0\n"
    required = project(tmp_path / "q", "FROM busybox\nRUN --mount=type=ssh,required true\n")
    assert "step-ssh-missing" in lamina.run("build", required).err
    lamina.run("build", required, "--ssh", f"default={tmp_path / 'key'}").ok()


def test_insecure_steps_must_be_allowed(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status > /caps\n"
    folder = project(tmp_path / "p", text)
    assert lamina.run("build", folder).code == 3
    lamina.run("build", folder, "--allow", "security.insecure", "-t", "x").ok()
    secure = project(tmp_path / "q", "FROM busybox\nRUN grep CapEff /proc/self/status > /caps\n")
    lamina.run("build", secure, "-t", "y").ok()
    more, less = (int(lamina.run("run", name, "cat", "/caps").out.split()[1], 16) for name in ("x", "y"))
    assert more & less == less and more != less


def test_several_platforms_make_one_index(lamina: Command, tmp_path: Path) -> None:
    folder = project(
        tmp_path / "p", "FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /f\n", {"amd64": "a", "arm64": "b"}
    )
    both = ("--platform", "linux/amd64,linux/arm64", "-t", "x:1")
    outputs = ("-o", f"type=oci,dest={tmp_path / 'o'},tar=false", "-o", str(tmp_path / "local"))
    lamina.build(folder, *both, *outputs).ok()
    assert {path.name: (path / "f").read_text() for path in (tmp_path / "local").iterdir()} == {
        "linux_amd64": "a",
        "linux_arm64": "b",
    }
    for architecture, content in (("amd64", "a"), ("arm64", "b")):
        copied = tmp_path / architecture
        command = [
            "skopeo",
            "copy",
            "-q",
            f"--override-arch={architecture}",
            f"oci:{tmp_path / 'o'}:1",
            f"dir:{copied}",
        ]
        subprocess.run(command, check=True)
        manifest = json.loads((copied / "manifest.json").read_text())
        layer = copied / manifest["layers"][0]["digest"].partition(":")[2]
        with tarfile.open(layer) as tar:
            found = tar.extractfile("f")
            assert found is not None and found.read().decode() == content
    assert [line.split()[:2] for line in lamina.run("images").out.splitlines()].count(["x", "1"]) == 2
    assert lamina.build(folder, *both).verdicts() == {}


def test_a_step_of_a_foreign_platform_says_what_it_needs(lamina: Command, tmp_path: Path) -> None:
    folder = project(
        tmp_path / "p", 'FROM --platform=linux/s390x scratch\nCOPY x /x\nRUN ["/x"]\n', {"x": "no program"}
    )
    done = lamina.run("build", folder)
    assert "runtime-foreign-platform" in done.err and "Dockerfile:3" in done.err and "qemu" in done.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--push",), "has no name"),
        (("--cache-to=type=inline",), "--cache-to"),
        (("--secret", "src=x"), "needs an id"),
        (("--secret", "id=x,src=/nowhere/at/all"), "no file"),
        (("--secret", "id=x,env=NOT_SET_ANYWHERE"), "not set"),
        (("--secret", "id=x,file=y"), "no 'file'"),
        (("--ssh", "default=/nowhere"), "there is no"),
        (("--add-host", "db"), "NAME:ADDRESS"),
        (("--ulimit", "nofile=many"), "NAME=SOFT:HARD"),
        (("--shm-size", "large"), "64m"),
        (("--allow", "everything"), "no entitlement"),
        (("--build-context", "x=/nowhere/at/all"), "/nowhere/at/all"),
        (("--secrets", "id=x"), "did you mean --secret?"),
        (("--platform", "linux/amd64,a/b/c/d"), "a/b/c/d"),
    ],
)
def test_flags_that_are_wrong(lamina: Command, tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    done = lamina.run("build", project(tmp_path / "p", "FROM busybox\n"), *flags)
    assert done.code in (2, 4) and said in done.err, done.err
    assert "Traceback" not in done.err


def test_source_date_epoch_is_the_time_of_the_image(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN true\nCMD x\n")
    lamina.build(folder, "--build-arg", "SOURCE_DATE_EPOCH=86400", "-t", "x").ok()
    config = json.loads(lamina.run("inspect", "x").ok().out)
    text = json.dumps(config)
    assert text.count("1970-01-02T00:00:00Z") >= 2
