"""What `-o` and `save` write, accepted by the tools that others use: skopeo, umoci, Docker, Podman, tar."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, project
from tests.support.docker_daemon import Docker, running_docker

TEXT = """FROM busybox
COPY data /app/data
RUN echo made > /app/made && rm /bin/vi && ln /app/made /app/linked
USER nobody
WORKDIR /app
ENV WHO=world
LABEL kind=test
EXPOSE 8000
VOLUME /var/data
ENTRYPOINT ["sh", "-c"]
CMD ["echo hello $WHO; cat data made; id -un; pwd; test -e /bin/vi || echo gone"]
"""
SAYS = "hello world\ndata\nmade\nnobody\n/app\ngone\n"
#: Podman asks for more than a container that the tests may run in is allowed.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return project(tmp_path / "project", TEXT, {"data": "data\n"})


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with running_docker(tmp_path_factory.mktemp("docker")) as client:
        yield client


def tool(*words: str | Path) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def config_of(lamina: Command, image: str) -> dict[str, Any]:
    (found,) = json.loads(lamina.run("inspect", image).ok().out)
    config: dict[str, Any] = found["config"]
    return config


def test_the_configuration_is_what_the_dockerfile_says(lamina: Command, context: Path) -> None:
    lamina.build(context, "-t", "x:1", "--label", "by=flag").ok()
    assert config_of(lamina, "x:1") == {
        "User": "nobody",
        "WorkingDir": "/app",
        "Env": ["PATH=/bin", "WHO=world"],
        "Labels": {"kind": "test", "by": "flag"},
        "ExposedPorts": {"8000/tcp": {}},
        "Volumes": {"/var/data": {}},
        "Entrypoint": ["sh", "-c"],
        "ArgsEscaped": True,
        "Cmd": ["echo hello $WHO; cat data made; id -un; pwd; test -e /bin/vi || echo gone"],
    }
    history = lamina.run("history", "--no-trunc", "x:1").ok().out
    assert "COPY data /app/data # buildkit" in history
    assert "RUN /bin/sh -c echo made > /app/made" in history
    assert "CMD [" in history
    assert lamina.run("run", "x:1").out == SAYS


def test_oci_layout_is_accepted_by_skopeo_and_umoci(lamina: Command, context: Path, tmp_path: Path) -> None:
    archive, layout = tmp_path / "x.oci.tar", tmp_path / "layout"
    done = lamina.build(
        context, "-t", "x:1", "-o", f"type=oci,dest={archive}", "-o", f"type=oci,dest={layout},tar=false"
    )
    seen = json.loads(tool("skopeo", "inspect", "--config", f"oci-archive:{archive}"))
    assert seen["config"]["Labels"] == {"kind": "test"}
    raw = json.loads(tool("skopeo", "inspect", "--raw", f"oci-archive:{archive}"))
    assert raw["config"]["digest"] == done.image
    index = json.loads((layout / "index.json").read_text())
    (tag,) = (entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"])
    tool("skopeo", "copy", f"oci:{layout}:{tag}", f"oci:{tmp_path / 'plain'}:1")
    tool("umoci", "unpack", "--image", f"{tmp_path / 'plain'}:1", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    assert (root / "app/made").read_text() == "made\n"
    assert (root / "app/made").stat().st_ino == (root / "app/linked").stat().st_ino
    assert not (root / "bin/vi").is_symlink()


def test_zstd_layers_are_accepted_by_skopeo(lamina: Command, context: Path, tmp_path: Path) -> None:
    archive = tmp_path / "x.tar"
    lamina.build(context, "-o", f"type=oci,dest={archive},compression=zstd").ok()
    types = [
        one["mediaType"] for one in json.loads(tool("skopeo", "inspect", "--raw", f"oci-archive:{archive}"))["layers"]
    ]
    assert types[-1] == "application/vnd.oci.image.layer.v1.tar+zstd"
    tool("skopeo", "copy", f"oci-archive:{archive}", f"dir:{tmp_path / 'dir'}")


def test_tar_and_directory_hold_the_same_files(lamina: Command, context: Path, tmp_path: Path) -> None:
    done = lamina.build(context, "-o", f"type=tar,dest={tmp_path / 'x.tar'}", "-o", f"type=local,dest={tmp_path / 'x'}")
    assert done.code == 0
    with tarfile.open(tmp_path / "x.tar") as tar:
        names = {member.name.strip("/").removeprefix("./") for member in tar} - {"", "."}
        assert "app/made" in names
    assert names == {str(path.relative_to(tmp_path / "x")) for path in (tmp_path / "x").rglob("*")}


def test_docker_loads_and_runs_the_image(lamina: Command, context: Path, tmp_path: Path, docker: Docker) -> None:
    archive = tmp_path / "x.tar"
    done = lamina.build(context, "-t", "lamina.test/x:1", "-o", f"type=docker,dest={archive}")
    assert "lamina.test/x:1" in docker("load", "-i", archive)
    assert docker("image", "inspect", "-f", "{{.Id}}", "lamina.test/x:1").strip() == done.image
    assert docker("run", "--rm", "--network", "none", "lamina.test/x:1") == SAYS
    saved = tmp_path / "back.tar"
    saved.write_bytes(b"")
    docker("save", "-o", saved, "lamina.test/x:1")
    other = Command(tmp_path / "other")
    assert "lamina.test/x:1" in other.run("load", "-i", saved).ok().out
    assert other.run("images", "-q", "--no-trunc").out.strip() == done.image
    assert other.run("run", "lamina.test/x:1").ok().out == SAYS


def test_podman_loads_and_runs_the_image(lamina: Command, context: Path, tmp_path: Path) -> None:
    archive = tmp_path / "x.tar"
    done = lamina.build(context, "-t", "lamina.test/x:1", "-o", f"type=docker,dest={archive}")
    # Its runroot must be a short path. In a mount namespace of its own it leaves no mount behind.
    with tempfile.TemporaryDirectory(prefix="lamina-podman-", dir="/tmp") as runroot:
        podman = (
            *("unshare", "--mount", "--", "podman", "--root", tmp_path / "root", "--runroot", runroot),
            *("--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "file"),
        )
        tool(*podman, "load", "-i", archive)
        assert "sha256:" + tool(*podman, "image", "inspect", "-f", "{{.Id}}", "lamina.test/x:1").strip() == done.image
        said = tool(*podman, "run", "--rm", *LIMITS, "--network", "host", "lamina.test/x:1")
        assert said == SAYS


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_save_and_load_keep_the_image(lamina: Command, context: Path, tmp_path: Path, form: str) -> None:
    image = lamina.build(context, "-t", "x:1", "-t", "y").image
    saved = lamina.run("save", "--format", form, "x:1").ok().raw
    other = Command(tmp_path / "other")
    assert "x:1" in other.run("load", stdin=saved).ok().out
    assert other.run("images", "-q", "--no-trunc").out.strip().splitlines()[0] == image
    assert other.run("run", "x:1").ok().out == SAYS
    other.verify()
    # It is a base like any other.
    child = project(tmp_path / "child", 'FROM x:1\nUSER root\nRUN cat /app/data > /copy\nCMD ["cat /copy"]\n')
    other.build(child, "-t", "child").ok()
    assert other.run("run", "child").out == "data\n"


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_layers_that_others_made_are_saved_as_they_came(tmp_path: Path, form: str) -> None:
    """A tar that lamina would have written in another way, imported and loaded."""
    (tmp_path / "b").write_text("b\n")
    (tmp_path / "a").write_text("a\n")
    tool("tar", "--format=gnu", "-C", tmp_path, "-cf", tmp_path / "root.tar", "b", "a")
    first, second = Command(tmp_path / "first"), Command(tmp_path / "second")
    image = first.run("import", tmp_path / "root.tar", "x:1").ok().out
    saved = first.run("save", "--format", form, "x:1").ok().raw
    second.run("load", stdin=saved).ok()
    assert second.run("images", "-q", "--no-trunc").ok().out == image
    assert second.run("save", "--format", form, "x:1").ok().raw == saved


def test_a_device_a_pipe_and_a_link_stay_what_they_are(lamina: Command, tmp_path: Path) -> None:
    """`-o /dev/null` as root must not put a file there."""
    null, fifo, link = tmp_path / "null", tmp_path / "fifo", tmp_path / "link"
    tool("mknod", null, "c", "1", "3")
    os.mkfifo(fifo)
    link.symlink_to("target")
    reader = subprocess.Popen(["dd", f"if={fifo}", f"of={tmp_path / 'read'}", "bs=64k", "status=none"])
    for name in (null, fifo, link):
        lamina.run("export", "-o", name, "busybox").ok()
        lamina.run("export", "-o", "/dev/stdout", "busybox").ok()
    assert reader.wait(timeout=60) == 0
    assert (tmp_path / "read").read_bytes() == (tmp_path / "target").read_bytes() != b""
    assert (null.is_char_device(), fifo.is_fifo(), link.is_symlink()) == (True, True, True)
    assert Path("/dev/stdout").is_symlink()
    full = lamina.run("export", "-o", "/dev/full", "busybox")
    assert (full.code, "No space left" in full.err) == (9, True)
    assert Path("/dev/full").is_char_device()


def test_the_same_build_in_two_stores_gives_the_same_archives(lamina: Command, context: Path, tmp_path: Path) -> None:
    """Nothing of the machine's state gets into an archive but for the times at which steps ran."""
    lamina.build(context, "-t", "x", "-o", f"type=oci,dest={tmp_path / 'one.tar'}").ok()
    lamina.build(context, "-t", "x", "-o", f"type=oci,dest={tmp_path / 'two.tar'}").ok()
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_tag_rmi_images_and_files_with_facts(lamina: Command, context: Path, tmp_path: Path) -> None:
    ids = tmp_path / "id"
    done = lamina.build(context, "-t", "x", "--iidfile", ids, "--metadata-file", tmp_path / "facts.json")
    assert ids.read_text() == done.image
    assert json.loads((tmp_path / "facts.json").read_text())["containerimage.config.digest"] == done.image
    assert lamina.run("build", "-q", context).ok().out.strip() == done.image
    lamina.run("tag", "x", "other/name:2").ok()
    listed = lamina.run("images").ok().out
    assert "other/name" in listed
    lamina.run("rmi", "x").ok()
    assert lamina.run("run", "other/name:2", "echo still").out == "still\n"
    lamina.run("rmi", "other/name:2").ok()
    assert done.image[7:19] not in lamina.run("images").out
    assert lamina.run("run", "x").code == 7
