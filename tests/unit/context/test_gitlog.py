"""What git says of a context's past, and what it cannot do to whoever asks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lamina.context.gitlog import Changes, changes, parse_log

ONE, TWO = "\1" + "a" * 40, "\1" + "b" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (f"{ONE}\0", ()),
        (f"{ONE}\0\na\0b c\0", (("a", "b c"),)),
        (f"{ONE}\0\na\0\0{TWO}\0\n\nb\0", (("a",), ("\nb",))),
        (f"{ONE}\0{TWO}\0\nx\0\1y\0", (("x", "\1y"),)),
    ],
)
def test_the_log_is_read(text: str, expected: tuple[tuple[str, ...], ...]) -> None:
    assert parse_log(text) == expected


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e@example.com")
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def commit(folder: Path, *paths: str) -> None:
    for name in paths:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + "x" if path.exists() else "x")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "m")


def test_a_checkout_and_a_folder_of_it(repository: Path) -> None:
    commit(repository, "a", "sub/b", "sub/new\nline")
    commit(repository, "a")
    commit(repository, "sub/b")
    assert changes(repository) == Changes((("sub/b",), ("a",), ("a", "sub/b", "sub/new\nline")))
    assert changes(repository / "sub") == Changes((("b",), ("b", "new\nline")))


def test_what_cannot_be_known_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes(repository).unknown == "the repository has no commits yet"
    (repository / ".git").rename(repository / "git")
    monkeypatch.setenv("GIT_DIR", str(repository / "git"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/")
    assert changes(repository).unknown == "the context is not in a git checkout"
    (repository / "empty").mkdir()
    monkeypatch.setenv("PATH", str(repository / "empty"))
    assert changes(repository).unknown == "git is not installed"


def test_a_repositorys_own_configuration_starts_no_program(repository: Path) -> None:
    commit(repository, "a")
    mark, program = repository / "started", repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "gpg.program", "diff.external", "core.sshCommand", "pager.log"):
        git(repository, "config", name, str(program))
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "log.follow", "true")
    mark.unlink(missing_ok=True)
    assert changes(repository) == Changes((("a",),))
    assert not mark.exists()


def test_names_that_are_no_utf8(repository: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    commit(repository, name)
    assert changes(repository) == Changes(((name,),))
