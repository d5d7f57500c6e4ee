"""The same commit checked out under two umasks: `--modes` and `modes` in `lamina.toml`."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from tests.support.command import Command, Completed, write

DOCKERFILE = """FROM busybox
COPY app /app
COPY tool /bin/
RUN --mount=type=bind,target=/context stat -c '%a %n' /context /context/tool /context/app/deep/two > /modes
"""
FILES = {
    "Dockerfile": DOCKERFILE,
    ".dockerignore": ".git\nlamina.toml\n",
    "app/one": "1",
    "app/deep/two": "2",
    "tool": "#!/bin/sh\n",
}
COPIES = ("COPY app /app", "COPY tool /bin/")


class Repository:
    """A git repository and its checkouts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._origin = write(folder / "origin", FILES)
        (self._origin / "tool").chmod(0o755)
        self._git("init", "-q", "-b", "main")
        self.commit({})

    def commit(self, files: dict[str, str]) -> None:
        write(self._origin, files)
        self._git("add", "-A")
        self._git("-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-qm", "m")

    def checkout(self, umask: int) -> Path:
        into = self.folder / f"{umask:03o}"
        self._git("clone", "-q", self._origin, into, umask=umask)
        return into

    def _git(self, *words: str | Path, umask: int = 0o022) -> None:
        subprocess.run(["git", "-C", self._origin, *words], check=True, capture_output=True, umask=umask)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "git")


def modes(root: Path) -> dict[str, str]:
    paths = [root / "bin/tool", root / "app", *(root / "app").rglob("*")]
    return {str(path.relative_to(root)): f"{path.stat().st_mode & 0o7777:o}" for path in paths}


NORMAL = {"bin/tool": "755", "app": "755", "app/one": "644", "app/deep": "755", "app/deep/two": "644"}
MOUNTED = "755 /context\n755 /context/tool\n644 /context/app/deep/two\n"


def test_keep_tells_two_checkouts_apart_by_their_modes_alone(lamina: Command, repository: Repository) -> None:
    here = repository.checkout(0o002)
    lamina.build(here).ok()
    here.rename(here.with_name("aside"))
    repository.checkout(0o022).rename(here)
    done = lamina.build(here, "--modes", "keep")
    for text in COPIES:
        assert done.row(text).verdict == "CHANGED"
        assert set(done.row(text).files.values()) == {"mode"}


def test_git_makes_them_the_same(lamina: Command, repository: Repository, tmp_path: Path) -> None:
    one, two, three = (repository.checkout(umask) for umask in (0o002, 0o022, 0o077))
    (one / "tool").chmod(0o6775)
    first = lamina.build(one, "--modes", "git", "-o", tmp_path / "out")
    assert modes(tmp_path / "out") == NORMAL
    assert (tmp_path / "out/modes").read_text() == MOUNTED
    for again in (two, three):
        done = lamina.build(again, "--modes=git")
        assert done.verdicts() == {}
        assert done.image == first.image
    # What has normal modes on the disk is the same under either setting.
    assert lamina.build(two).verdicts() == {}
    assert lamina.run("plan", "--modes", "git", three).code == 0
    assert lamina.run("plan", "--modes", "keep", three).code == 10


def test_the_projects_file_and_the_option_that_wins_over_it(
    lamina: Command, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"lamina.toml": 'modes = "git"\n'})
    one, two = repository.checkout(0o002), repository.checkout(0o022)
    lamina.build(one, "-o", tmp_path / "out").ok()
    assert modes(tmp_path / "out") == NORMAL
    assert lamina.build(two).verdicts() == {}
    assert lamina.run("plan", one).code == 0
    assert lamina.run("plan", "--modes", "keep", one).code == 10
    (one / "lamina.toml").unlink()
    assert set(COPIES) <= set(lamina.build(one).verdicts())


def test_named_contexts_follow_the_builds_setting(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY --from=other . /other\n"
    for umask, mode in ((0o002, 0o664), (0o077, 0o600)):
        context = write(tmp_path / f"{umask}", {"Dockerfile": text, "lamina.toml": 'modes = "git"\n'})
        # Its own file says nothing about this build.
        other = write(tmp_path / f"other{umask}", {"file": "x", "lamina.toml": 'modes = "keep"\n'})
        (other / "file").chmod(mode)
        done = lamina.build(context, "--build-context", f"other={other}", "-o", tmp_path / f"out{umask}")
        assert f"{(tmp_path / f'out{umask}/other/file').stat().st_mode & 0o7777:o}" == "644"
    assert done.verdicts() == {}


def test_an_archive_of_a_checkout(lamina: Command, repository: Repository) -> None:
    repository.commit({"lamina.toml": 'modes = "git"\n'})

    def built(umask: int, *flags: str) -> Completed:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            tar.add(repository.checkout(umask), ".", filter=lambda one: None if one.name == "./.git" else one)
        return lamina.run("build", "--progress", "rawjson", *flags, "-", stdin=out.getvalue())

    first = built(0o002, "--modes", "git").ok()
    again = built(0o022, "--modes", "git")
    assert again.verdicts() == {}
    assert again.image == first.image
    # The file counts for a context that is a directory only.
    assert set(COPIES) <= set(built(0o007).verdicts())


def test_a_file_that_cannot_be_used_stops_the_build(lamina: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "context", {"Dockerfile": "FROM busybox\n", "lamina.toml": '\nmode = "git"\n'})
    for command in ("build", "plan"):
        done = lamina.run(command, context)
        assert done.code == 2
        assert f"{context}/lamina.toml:2\n" in done.err
        assert "did you mean modes?" in done.err
        assert "[usage-configuration]" in done.err
    done = lamina.run("build", "--modes", "svn", tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_a_build_with_nothing_to_do_notices_the_file(lamina: Command, tmp_path: Path) -> None:
    context = write(tmp_path / "context", {"Dockerfile": "FROM busybox\nRUN true\n"})
    time.sleep(2.05)  # a younger file is never relied on
    for _ in range(3):
        lamina.run("build", context).ok()
    logs = len(os.listdir(lamina.root / "logs"))
    assert logs < 3  # it was answered without a build
    write(context, {"lamina.toml": 'modes = "svn"\n'})
    assert lamina.run("build", context).code == 2
    write(context, {"lamina.toml": 'modes = "git"\n'})
    lamina.run("build", context).ok()
    assert len(os.listdir(lamina.root / "logs")) > logs
