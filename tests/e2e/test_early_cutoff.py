"""A step that ran again and came out the same: what stands on it is cached."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import Command, project, write

MOUNTED = """FROM busybox
RUN --mount=type=bind,source=requirements.txt,target=/r grep -v '^#' /r > /installed
RUN sleep 0.2; wc -l < /installed > /count
COPY app.py /app.py
RUN cat /count /app.py > /both
"""
STAGED = """FROM busybox AS deps
COPY requirements.txt /r
RUN mkdir /venv && grep -v '^#' /r > /venv/installed
FROM busybox
COPY --from=deps /venv /venv
RUN sleep 0.2; wc -l < /venv/installed > /count
COPY app.py /app.py
"""
FILES = {"requirements.txt": "flask\n", "app.py": "1\n"}
COMMENTED = {"requirements.txt": "# the web framework\nflask\n"}


def plan(lamina: Command, folder: Path) -> list[tuple[str, bool]]:
    steps = json.loads(lamina.run("plan", "--json", folder).out)["steps"]
    return [(step["verdict"], step["possible"]) for step in steps if step["verdict"] not in ("metadata", "fetched")]


def test_a_comment_in_what_an_install_reads_runs_the_install_alone(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", MOUNTED, FILES)
    first = lamina.build(folder).ok()
    write(folder, COMMENTED)
    assert plan(lamina, folder) == [
        ("cached", False),
        ("CHANGED", False),
        ("rebuilds", True),
        ("rebuilds", True),
        ("rebuilds", True),
    ]
    said = lamina.run("plan", folder).out
    assert "because of line 2, unless that comes out the same" in said
    done = lamina.build(folder).ok()
    assert list(done.verdicts()) == [MOUNTED.splitlines()[1]]
    assert done.image == first.image
    write(folder, {"requirements.txt": "# the web framework\nflask\ndjango\n"})
    assert len(lamina.build(folder).verdicts()) == 4


def test_in_a_stage_of_its_own_it_is_the_same(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", STAGED, FILES)
    first = lamina.build(folder).ok()
    write(folder, COMMENTED)
    said = lamina.run("plan", folder).out
    assert "cached if the files of deps come out the same" in said
    done = lamina.build(folder).ok()
    assert list(done.verdicts()) == ["COPY requirements.txt /r", STAGED.splitlines()[2]]
    assert done.image == first.image


def test_an_offered_epoch_is_in_the_step_and_in_no_key(lamina: Command, tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "FROM busybox\nRUN echo epoch=$SOURCE_DATE_EPOCH > /epoch\n", {})
    lamina.build(folder, "--source-date-epoch", "1700000000", "-t", "a").ok()
    assert lamina.run("run", "--rm", "a", "cat", "/epoch").out == "epoch=1700000000\n"
    assert "2023-11-14" in lamina.run("history", "a").out
    later = lamina.build(folder, "--source-date-epoch", "1800000000", "-t", "b").ok()
    assert later.verdicts() == {}
    assert "2027-01-15" in lamina.run("history", "b").out
    without = lamina.build(folder, "-t", "c").ok()
    assert set(without.verdicts().values()) == {"CHANGED"}
    assert lamina.run("run", "--rm", "c", "cat", "/epoch").out == "epoch=\n"
