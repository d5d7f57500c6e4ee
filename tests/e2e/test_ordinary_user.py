"""The whole way as an ordinary user: build with RUN and COPY, run, export, clean up."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.command import Command
from tests.support.user_context import context_of


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
