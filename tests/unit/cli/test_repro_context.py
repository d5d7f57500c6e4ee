"""Two copies of a context, as two checkouts of a commit could be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.support.command import write

from lamina.cli.repro_context import copy_context
from lamina.workshop.locate import here


@pytest.fixture
def context(tmp_path: Path) -> Path:
    files = {"Dockerfile": "FROM scratch\n", ".dockerignore": "secret\n.dockerignore\nlamina.toml\n", "a/one": "1"}
    folder = write(tmp_path / "context", {**files, "lamina.toml": 'modes = "git"\n', "secret": "s", "a/b/two": "22"})
    (folder / "a/link").symlink_to("../missing")
    (folder / "a/one").chmod(0o755)
    os.setxattr(folder / "a/one", "user.note", b"x")
    os.mkfifo(folder / "pipe")
    for path in folder.rglob("*"):
        os.utime(path, (1000, 1000), follow_symlinks=False)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_copy_is_as_the_original(context: Path, tmp_path: Path) -> None:
    to = tmp_path / "deep" / "copy"
    copy_context(here(context, None), to, "git", backwards=False, fresh=False, group=False)
    assert names(to) == names(context) - {"secret"}
    assert (to / "a/b/two").read_text() == "22"
    assert os.readlink(to / "a/link") == "../missing"
    assert os.getxattr(to / "a/one", "user.note") == b"x"
    assert stat.S_ISFIFO((to / "pipe").lstat().st_mode)
    for name in ("a", "a/one", "a/b", "a/b/two", "a/link", "pipe"):
        assert (to / name).lstat().st_mtime == 1000
    assert f"{(to / 'a/one').stat().st_mode & 0o777:o}" == "755"


@pytest.mark.parametrize(("modes", "expected"), [("git", "775"), ("keep", "755")])
def test_another_checkout_is_younger_and_had_another_umask(
    context: Path, tmp_path: Path, modes: str, expected: str
) -> None:
    to = tmp_path / "copy"
    copy_context(here(context, None), to, modes, backwards=True, fresh=True, group=True)  # type: ignore[arg-type]
    assert names(to) == names(context) - {"secret"}
    assert (to / "a/one").stat().st_mtime > 1000
    assert f"{(to / 'a/one').stat().st_mode & 0o777:o}" == expected
