"""What git says of a context's past and its last commit, and what it cannot do to whoever asks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lamina.context.gitlog import Changes, changes, commit_time, parse_log
from lamina.diagnostics import BuildFailure, Diagnostic

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


def git(folder: Path, *words: str | Path, when: int = 0, given: bytes = b"") -> str:
    """Run git; `when` is the committer's time, and the author's a day before."""
    who = ("-c", "user.name=n", "-c", "user.email=e@example.com")
    times = {"GIT_COMMITTER_DATE": f"@{when} +0500", "GIT_AUTHOR_DATE": f"@{when - 86400} +0000"} if when else {}
    line, environment = ["git", "-C", folder, *who, *words], {**os.environ, **times}
    return subprocess.run(line, check=True, capture_output=True, env=environment, input=given).stdout.decode().strip()


def commit(folder: Path, *paths: str, when: int = 0) -> None:
    for name in paths:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.read_text() + "x" if path.exists() else "x")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "m", when=when)


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


# --- the time of the commit -------------------------------------------------------------------------------------------
WHEN = 1_234_567_890


def no_time(folder: Path) -> Diagnostic:
    with pytest.raises(BuildFailure) as caught:
        commit_time(folder)
    assert caught.value.diagnostic.reference == "context-no-commit-time"
    assert caught.value.diagnostic.hint
    return caught.value.diagnostic


def test_the_committers_time_of_what_is_checked_out(repository: Path) -> None:
    commit(repository, "sub/a", when=WHEN)
    commit(repository, "HEAD", when=WHEN + 100)  # a file of that name is no obstacle
    (repository / "sub/a").write_text("edited")
    assert commit_time(repository) == commit_time(repository / "sub") == WHEN + 100
    git(repository, "checkout", "-q", "-f", "HEAD^")
    assert commit_time(repository) == WHEN


def test_clones_and_worktrees(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    commit(repository, "a", when=WHEN)
    commit(repository, "a", when=WHEN + 1)
    aside = tmp_path_factory.mktemp("aside")
    git(aside, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    git(repository, "worktree", "add", "-q", aside / "tree", "HEAD^")
    git(aside, "clone", "-q", repository, "above")
    git(aside / "above", "-c", "protocol.file.allow=always", "submodule", "add", "-q", repository, "below")
    git(aside / "above", "commit", "-qm", "m", when=WHEN + 2)
    assert commit_time(aside / "shallow") == WHEN + 1
    assert commit_time(aside / "tree") == WHEN
    assert commit_time(aside / "above") == WHEN + 2
    assert commit_time(aside / "above/below") == WHEN + 1


def test_the_same_commit_has_the_same_time_everywhere(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository, "a", when=WHEN)
    first = git(repository, "rev-parse", "HEAD")
    commit(repository, "a", when=WHEN + 1)
    git(repository, "replace", "HEAD", first)
    git(repository, "config", "i18n.logOutputEncoding", "UTF-16")
    git(repository, "config", "log.date", "iso")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert commit_time(repository) == WHEN + 1


def test_no_commit_no_checkout_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_time(repository).cause == "the repository has no commits yet"
    commit(repository, "a", when=WHEN)
    (repository / ".git").rename(repository / "git")
    monkeypatch.setenv("GIT_DIR", str(repository / "git"))
    assert no_time(repository).cause == "the context is not in a git checkout"
    (repository / "git").rename(repository / ".git")
    (repository / ".git/refs/heads/main").unlink(missing_ok=True)
    (repository / ".git/HEAD").write_text("ref: refs/heads/../../x\n")
    assert no_time(repository).cause
    (repository / "empty").mkdir()
    monkeypatch.setenv("PATH", str(repository / "empty"))
    assert no_time(repository).cause == "git is not installed"


def test_a_repository_of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(repository, "a", when=WHEN)
    for path in (repository, repository / ".git", *(repository / ".git").rglob("*")):
        os.chown(path, 65534, 65534)
    monkeypatch.setenv("HOME", str(repository / "home"))
    for name in ("SUDO_UID", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    told = no_time(repository)
    assert "dubious ownership" in (told.cause or "")
    assert "safe.directory" in (told.hint or "")
    # What the repository says of itself does not count.
    git(repository, "config", "--file", repository / ".git/config", "safe.directory", "*")
    assert "dubious ownership" in (no_time(repository).cause or "")
    git(repository, "init", "-q", repository / "home")
    git(repository, "config", "--file", repository / "home/.gitconfig", "safe.directory", str(repository))
    assert commit_time(repository) == WHEN


def test_a_folder_that_looks_like_a_repository_is_none(repository: Path) -> None:
    commit(repository, "a", when=WHEN)
    bare = repository / "bare"
    git(repository, "clone", "-q", "--bare", repository, bare)
    assert "bare" in (no_time(bare).cause or "")


@pytest.mark.parametrize("date", ["99999999999999999999 +0000", "-5 +0000", "x +0000", "1 2 3"])
def test_a_commit_with_a_hostile_time(repository: Path, date: str) -> None:
    tree = git(repository, "write-tree")
    raw = f"tree {tree}\nauthor n <e> 1 +0000\ncommitter n <e> {date}\n\nm\n".encode()
    made = git(repository, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", given=raw)
    git(repository, "update-ref", "HEAD", made)
    try:
        assert 0 <= commit_time(repository) < 10**12
    except BuildFailure as failure:
        assert failure.diagnostic.reference == "context-no-commit-time"


def test_asking_for_the_time_starts_no_program(repository: Path) -> None:
    commit(repository, "a", when=WHEN)
    mark, program = repository / "started", repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "pager.log"):
        git(repository, "config", name, str(program))
    git(repository, "config", "log.showSignature", "true")
    mark.unlink(missing_ok=True)
    assert commit_time(repository) == WHEN
    assert not mark.exists()
