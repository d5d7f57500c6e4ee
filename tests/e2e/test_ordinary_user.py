"""The whole way as an ordinary user: build with RUN and COPY, run, export, clean up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import Command, project
from tests.support.runner_bench import USER, environment, give, ordinary_user, wait_for

AS_USER = Path(__file__).parents[1] / "support" / "as_user.py"

TEXT = """FROM busybox
RUN echo 'ann:x:1000:1001::/home/ann:/bin/sh' >> /etc/passwd && mkdir /home && chown 1000:1001 /home
COPY --chown=ann data /home/data
USER ann
WORKDIR /home
RUN id -u > who && cat data >> who && stat -c %u:%g data >> who
CMD cat who; id -u; touch mine && echo wrote
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the ordinary user: pytest's own are closed to others."""
    user = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="lamina-user-", dir="/tmp"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        yield folder
    finally:
        wait_for(lambda: _removed(folder))


def _removed(folder: Path) -> bool:
    """Try to delete: the process that syncs a store after a build may still write there."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@pytest.fixture
def rootless(place: Path, busybox_tar: Path) -> Command:
    """The command as that user, with a store of theirs that holds `busybox`."""
    env = {"HOME": str(place), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": environment()["PYTHONPATH"]}
    lamina = Command(place / "store", (sys.executable, str(AS_USER), USER), env)
    with busybox_tar.open("rb") as tar:
        lamina.run("import", "-", "busybox", "--env", "PATH=/bin", stdin=tar.read()).ok()
    return lamina


def context_of(place: Path) -> Path:
    context = project(place / "context", TEXT, {"data": "data\n"})
    user = ordinary_user()
    give(context, (user.pw_uid, user.pw_gid))
    return context


def test_build_run_and_the_cache(rootless: Command, place: Path) -> None:
    context = context_of(place)
    first = rootless.build(context, "-t", "x")
    assert set(first.verdicts().values()) == {"new"}
    assert rootless.run("run", "x").ok().out == "1000\ndata\n1000:1001\n1000\nwrote\n"
    again = rootless.build(context)
    assert (again.verdicts(), again.image) == ({}, first.image)
    (context / "data").write_text("other\n")
    assert rootless.build(context).row("COPY").verdict == "CHANGED"
    rootless.verify()


def test_the_layers_say_what_root_would_have_written(rootless: Command, place: Path) -> None:
    context = context_of(place)
    rootless.build(context, "-t", "x", "-o", f"type=tar,dest={place}/x.tar").ok()
    listed = subprocess.run(
        ["tar", "--numeric-owner", "-tvf", place / "x.tar"], capture_output=True, text=True, check=True
    )
    owners = {line.split()[-1].strip("./"): line.split()[1] for line in listed.stdout.splitlines()}
    assert owners["home/data"] == "1000/1001"
    assert owners["home/who"] == "1000/1001"
    assert owners["etc/passwd"] == "0/0"


def test_a_failing_step_and_a_clean_end(rootless: Command, place: Path) -> None:
    context = context_of(place)
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo no >&2; exit 4\n")
    done = rootless.build(context)
    assert done.code == 5
    assert "exit status 4" in done.err
    rootless.run("cache", "prune", "--max-size", "1kb").ok()
    assert not list((rootless.root / "tmp").iterdir())
