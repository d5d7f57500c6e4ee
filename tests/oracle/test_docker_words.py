"""Command lines that Docker has too, given to both: names of the Dockerfile, --format, --env-file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import Command, project
from tests.support.docker_daemon import Docker, running_docker

TEXT = """FROM busybox
ENV A=1 B="two words"
LABEL org.example.key="a value" other=2
WORKDIR /work
USER nobody
EXPOSE 80
CMD ["sh", "-c", "env"]
"""


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    with running_docker(tmp_path_factory.mktemp("docker")) as client:
        yield client


@pytest.fixture
def both(lamina: Command, docker: Docker, tmp_path: Path) -> str:
    """An image that lamina and Docker have under this name."""
    archive = tmp_path / "x.tar"
    lamina.build(project(tmp_path / "p", TEXT), "-t", "ex.test/x:1", "-o", f"type=docker,dest={archive}").ok()
    docker("load", "-i", archive)
    return "ex.test/x:1"


def test_a_dockerfile_in_lower_case(lamina: Command, docker: Docker, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nCOPY f /f\n", {"f": "data"})
    (folder / "Dockerfile").rename(folder / "dockerfile")
    assert docker.build(folder).image is not None
    lamina.build(folder).ok()
    (folder / "dockerfile").rename(folder / "Containerfile")  # which is Podman's habit alone
    assert docker.build(folder).image is None
    lamina.build(folder).ok()


@pytest.mark.parametrize(
    "template",
    [
        "{{.Id}}",
        "{{.Os}}/{{.Architecture}}",
        "{{.Config.Env}}",
        "{{json .Config.Env}}",
        "{{.Config.Labels}}",
        "{{json .Config.Labels}}",
        '{{index .Config.Labels "org.example.key"}}!',
        "{{.Config.User}} {{ .Config.WorkingDir }}",
        "{{.Config.Cmd}} {{json .Config.Cmd}}",
        "{{index .Config.Cmd 2}}",
        "{{.Config.ExposedPorts}}",
        "{{json .RootFS.Layers}}",
    ],
)
def test_inspect(lamina: Command, docker: Docker, both: str, template: str) -> None:
    assert lamina.run("inspect", "-f", template, both).ok().out == docker("image", "inspect", "-f", template, both)


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
        ("-q",),
        ("-q", "--no-trunc"),
        ("--format", r"table {{.Repository}}\t{{.Tag}}\t{{.ID}}"),
        ("--format", "{{json .Tag}}"),
    ],
)
def test_images(lamina: Command, docker: Docker, both: str, words: tuple[str, ...]) -> None:
    mine, theirs = lamina.run("images", *words, "ex.test/x").ok().out, docker("images", *words, "ex.test/x")
    assert mine.split() == theirs.split()  # the columns are Docker's, their width is not


def test_a_file_of_variables(lamina: Command, docker: Docker, both: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(
        '# comment\nQ="quoted"\n\n  INDENTED=1\nHASH=a # b\nEMPTY=\nA=of the file\nNOT_HERE\nPATH\nX=a=b\r\n'
    )
    words = ("--network", "none", "--env-file", str(file), "-e", "B=of the words", both)
    mine = lamina.run("run", *words, env={"PATH": "/bin:/usr/bin"}).ok().out
    theirs = docker("run", "--rm", *words)
    keys = ("Q", "INDENTED", "HASH", "EMPTY", "A", "B", "NOT_HERE", "X")
    assert {line for line in mine.splitlines() if line.partition("=")[0] in keys} == {
        line for line in theirs.splitlines() if line.partition("=")[0] in keys
    }
