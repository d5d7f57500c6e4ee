"""Command lines that people and scripts bring along from Docker: what is taken, what is refused, and how it is said."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from tests.support.command import Command, project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path / "p", "FROM scratch\nCOPY f /f\n", {"f": "data"})


@pytest.mark.parametrize("name", ["dockerfile", "Containerfile"])
def test_other_names_of_the_dockerfile(lamina: Command, folder: Path, name: str) -> None:
    lamina.build(folder, "-t", "first").ok()
    (folder / "Dockerfile").rename(folder / name)
    assert lamina.build(folder, "-t", "second").verdicts() == {}
    lamina.run("check", folder).ok()
    lamina.run("plan", folder).ok()
    assert "COPY f /f" in lamina.run("context", "ls", "--copy", "all", folder).ok().out
    # The usual name wins, also over what the last build of the same words noted.
    for _ in range(2):
        lamina.run("build", folder, "-t", "second").ok()
    project(folder, "FROM scratch\nLABEL other=yes\n")
    lamina.run("build", folder, "-t", "second").ok()
    assert "other" in lamina.run("inspect", "second").out


def test_other_names_in_a_stream(lamina: Command, folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        tar.add(folder / "Dockerfile", "dockerfile")
        tar.add(folder / "f", "f")
    lamina.run("build", "-", "-t", "x", stdin=(tmp_path / "c.tar").read_bytes()).ok()


def test_switches_and_options_without_effect(lamina: Command, folder: Path) -> None:
    words = ("--load=true", "--rm", "--force-rm=false", "--compress", "--disable-content-trust=false", "--push=false")
    assert lamina.build(folder, *words, "--no-cache=false", "--pull=false", "-t", "x").verdicts() == {
        "COPY f /f": "new"
    }
    assert lamina.build(folder, "--no-cache=true").row("COPY f /f").verdict != "cached"
    assert lamina.build(folder, "--allow=network.host,security.insecure", "--platform=local").verdicts() == {}


def test_stages_with_commas(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox AS a\nRUN echo a\nFROM busybox AS b\nRUN echo b\nFROM a\nCOPY --from=b /bin/sh /sh\n"
    folder = project(tmp_path / "p", text)
    lamina.build(folder).ok()
    assert set(lamina.build(folder, "--no-cache-filter=a,b").verdicts()) >= {"RUN echo a", "RUN echo b"}


@pytest.mark.parametrize(
    ("command", "words", "hint"),
    [
        ("build", ("--memory=1g",), "control group"),
        ("build", ("--squash",), "FROM scratch"),
        ("build", ("--builder", "x"), "no daemon"),
        ("build", ("--print=outline",), "--call"),
        ("build", ("-o", "type=image,rewrite-timestamp=true"), "--reproducible"),
        ("build", ("-o", "type=docker"), "docker load"),
        ("run", ("-d",), "foreground"),
        ("run", ("-p", "80:80"), "shares this machine's network"),
        ("run", ("--privileged",), "docker load"),
        ("run", ("--network=bridge",), "shares this machine's network"),
        ("run", ("-v", "data:/data"), "./data"),
    ],
)
def test_what_is_refused_says_what_to_do(
    lamina: Command, folder: Path, command: str, words: tuple[str, ...], hint: str
) -> None:
    done = lamina.run(command, *words, folder if command == "build" else "busybox")
    assert (done.code, hint in done.err) == (2, True), done.err


def test_only_the_cache(lamina: Command, folder: Path) -> None:
    assert lamina.build(folder, "-t", "x", "-o", "type=cacheonly").verdicts() == {"COPY f /f": "new"}
    assert "x" not in lamina.run("images", "--format", "{{.Repository}}").out.split()
    assert lamina.build(folder, "-t", "x").verdicts() == {}


def test_progress_from_the_environment(lamina: Command, folder: Path) -> None:
    assert lamina.run("build", folder, env={"BUILDKIT_PROGRESS": "rawjson"}).events
    assert not lamina.run("build", folder, env={"BUILDKIT_PROGRESS": "fancy"}).events
    silent = lamina.run("build", folder, "--progress=none").ok()
    assert (silent.out, silent.err) == ("", "")


def test_the_time_from_the_environment(lamina: Command, folder: Path) -> None:
    def created(*words: str, epoch: str = "") -> str:
        lamina.run("build", folder, "-t", "x", *words, env={"SOURCE_DATE_EPOCH": epoch}).ok()
        told: str = json.loads(lamina.run("inspect", "x").out)[0]["created"]
        return told[:19]

    assert created(epoch="86400") == "1970-01-02T00:00:00"
    assert created(epoch="172800") == "1970-01-03T00:00:00"
    # What the command line says wins.
    assert created("--build-arg", "SOURCE_DATE_EPOCH=0", epoch="86400") == "1970-01-01T00:00:00"
    assert created("--source-date-epoch", "0", epoch="86400") == "1970-01-01T00:00:00"
    assert created() > "2000"
    bad = lamina.run("build", folder, env={"SOURCE_DATE_EPOCH": "soon"})
    assert "usage-source-date-epoch" in bad.err


def test_levels_of_gzip(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM scratch\nCOPY f /f\n", {"f": "".join(f"line {n}\n" for n in range(100_000))})
    sizes = {}
    for level in (1, 6, 9):
        archive = tmp_path / f"{level}.tar"
        lamina.build(folder, "-o", f"type=oci,dest={archive},compression-level={level},force-compression=true").ok()
        sizes[level] = archive.stat().st_size
        other = Command(tmp_path / f"other{level}")
        other.run("load", "-i", archive).ok()
    assert sizes[1] > sizes[6] >= sizes[9]


def test_what_run_is_given(lamina: Command, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# all of it\nA=1\n\n  B=two words # and more\nFROM_HERE\nNOT_HERE\n")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/in").write_text("in\n")
    words: tuple[str, ...] = (
        "--name=n",
        "--label",
        "a=b",
        "--rm",
        "-it",
        "--env-file",
        str(tmp_path / "env"),
        "-e",
        "A=2",
    )
    words += ("--add-host", "data.test:10.1.2.3", "--hostname", "here", "--ulimit", "nofile=321", "--shm-size=3m")
    words += ("--mount", f"type=bind,source={tmp_path}/shared,target=/m,readonly", "--tmpfs", "/scratch")
    script = (
        "echo $A; echo $B; echo $FROM_HERE; echo [$NOT_HERE]; cat /m/in; grep -c data.test /etc/hosts; hostname;"
        " ulimit -n; echo x > /scratch/x; touch /m/x"
    )
    done = lamina.run("run", *words, "busybox", "sh", "-c", script, env={"FROM_HERE": "yes"})
    assert done.out.splitlines() == ["2", "two words # and more", "yes", "[]", "in", "1", "here", "321"]
    assert "Read-only" in done.err
    for wrong in (("--env-file", "/nowhere"), ("--mount", "type=volume,target=/x"), ("--mount", "type=bind,target=/x")):
        assert lamina.run("run", *wrong, "busybox").code == 2


def test_lists_of_images(lamina: Command, folder: Path) -> None:
    for tags in (("-t", "ex.test/a:1", "-t", "ex.test/a:2"), ("-t", "b", "--label", "k=v"), ("--label", "k=w")):
        lamina.build(folder, *tags).ok()

    def lines(*words: str) -> list[str]:
        return sorted(lamina.run("images", *words).ok().out.splitlines())

    names = "{{.Repository}}:{{.Tag}}"
    assert lines("--format", names) == ["<none>:<none>", "b:latest", "busybox:latest", "ex.test/a:1", "ex.test/a:2"]
    assert lines("--format", names, "ex.test/a") == ["ex.test/a:1", "ex.test/a:2"]
    assert lines("--format", names, "ex.test/a:2") == ["ex.test/a:2"]
    assert lines("--format", names, "-f", "reference=b*") == ["b:latest", "busybox:latest"]
    assert lines("--format", names, "--filter", "dangling=true") == ["<none>:<none>"]
    assert len(lines("-q", "ex.test/a")) == 1
    assert [json.loads(line)["Tag"] for line in lines("--format", "json", "b")] == ["latest"]
    assert lines("-a", "--format", r"table {{.Repository}}\t{{.Tag}}", "b") == [
        "REPOSITORY   TAG",
        "b            latest",
    ]
    assert lamina.run("images", "--filter", "since=x").code == 2
    assert (
        lamina.run("inspect", "-f", '{{index .Config.Labels "k"}} {{.Os}}/{{.Architecture}}', "b").out
        == "v linux/amd64\n"
    )
    assert lamina.run("inspect", "--format={{range .X}}{{end}}", "b").code == 2
    assert lamina.run("rmi", "-f", "ex.test/a:1", "no-such", "b").ok().out.count("Untagged") == 2
    assert lamina.run("rmi", "no-such").code != 0
