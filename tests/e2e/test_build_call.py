"""`lamina build --call`: what a Dockerfile is asked instead of being built. No store is made and nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.command import Command, project

TEXT = """# TAG is the version of the base
ARG TAG=12
FROM debian:$TAG AS base
# app is what is shipped
FROM base AS app
# NAME is printed
ARG NAME=$HOME
RUN --mount=type=secret,id=token true
"""


@pytest.fixture
def bare(tmp_path: Path) -> Command:
    return Command(tmp_path / "no-store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return project(tmp_path / "p", TEXT)


def test_targets(bare: Command, folder: Path) -> None:
    done = bare.run("build", "--call=targets", folder).ok()
    assert done.out.splitlines() == ["TARGET          DESCRIPTION", "base", "app (default)   is what is shipped"]
    told = json.loads(bare.run("build", "--call", "targets,format=json", folder).ok().out)
    assert [one["base"] for one in told["targets"]] == ["debian:$TAG", "base"]
    assert not bare.root.exists()


def test_outline(bare: Command, folder: Path) -> None:
    done = bare.run("build", "--call=outline", folder).ok()
    assert done.out.splitlines() == [
        "TARGET:      app",
        "DESCRIPTION: is what is shipped",
        "",
        "BUILD ARG   VALUE   DESCRIPTION",
        "TAG         12      is the version of the base",
        "NAME        $HOME   is printed",
        "",
        "SECRET   REQUIRED",
        "token",
    ]
    words = ("build", "--call=outline,format=json", "--target", "base", "--build-arg", "TAG=13", folder)
    told = json.loads(bare.run(*words).ok().out)
    assert (told["name"], [(one["name"], one["value"]) for one in told["args"]]) == ("base", [("TAG", "13")])
    assert not bare.root.exists()


def test_a_dockerfile_on_standard_input_and_a_stream(bare: Command, folder: Path) -> None:
    text = (folder / "Dockerfile").read_bytes()
    for words in (("-f", "-", folder), ("-",)):
        assert "app (default)" in bare.run("build", "--call=targets", *words, stdin=text).ok().out


def test_what_the_store_knows_of_a_base_counts(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nARG WHERE=$PATH/x\n")
    assert "WHERE       /bin/x" in lamina.run("build", "--call=outline", folder).ok().out


def test_a_check_with_its_form(bare: Command, folder: Path) -> None:
    wrong = project(folder.parent / "wrong", "FROM scratch as a\nMAINTAINER me\n")
    assert bare.run("build", "--call=check", wrong).code == 1
    assert bare.run("build", "--check", wrong).code == 1
    done = bare.run("build", "--call=check,format=json,ignorestatus=true", wrong).ok()
    assert json.loads(done.out)["findings"]


def test_errors(bare: Command, folder: Path, tmp_path: Path) -> None:
    assert "usage-call" in bare.run("build", "--call=everything", folder).err
    assert "dockerfile-unknown-stage" in bare.run("build", "--call=outline", "--target=none", folder).err
    assert "dockerfile-not-found" in bare.run("build", "--call=targets", tmp_path).err
    broken = project(tmp_path / "broken", "FRM x\n")
    done = bare.run("build", "--call=targets", broken)
    assert (done.code, "did you mean FROM" in done.err) == (3, True)
