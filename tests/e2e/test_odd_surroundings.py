"""Standard streams that are closed or full, and words that stand where they should not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.support.command import Command, project

TEXT = "FROM busybox\nCOPY f /\nRUN cat /f; echo told >&2\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["build --no-cache", "build", "plan", "check", "images"])
def test_closed_streams_change_nothing(lamina: Command, tmp_path: Path, words: str, closed: str) -> None:
    context = project(tmp_path / "p", TEXT, {"f": "f\n"})
    lamina.build(context).ok()
    line = lamina.line(*words.split(), *([] if words == "images" else [context]))
    usual = subprocess.run(line, env=lamina.environment(), capture_output=True, check=False).returncode
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *line]
    done = subprocess.run(shell, env=lamina.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == usual, done.stderr
    assert "internal-bug" not in done.stderr
    lamina.verify()


@pytest.mark.parametrize("words", ["images", "plan", "layers busybox", "doctor", "cache du"])
def test_output_that_has_no_room_is_an_error(lamina: Command, tmp_path: Path, words: str) -> None:
    context = project(tmp_path / "p", TEXT, {"f": "f\n"})
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            lamina.line(*words.split(), *([context] if words == "plan" else [])),
            env={name: value for name, value in lamina.environment().items() if name != "PYTHONUNBUFFERED"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        9,
        f"error: the output cannot be written\n  cause: {os.strerror(28)}\n  [image-output-failed]\n",
    )


def test_help_of_a_command_and_an_option_in_front(lamina: Command) -> None:
    assert lamina.run("help", "plan").ok().out == lamina.run("plan", "--help").ok().out
    done = lamina.run("help", "plna")
    assert (done.code, "did you mean plan?" in done.err) == (2, True)
    done = lamina.run("--root", "x", "build", ".")
    assert (done.code, "behind the command" in done.err) == (2, True)


def test_no_jobs_at_all_are_refused(lamina: Command, tmp_path: Path) -> None:
    done = lamina.build(project(tmp_path / "p", TEXT, {"f": "f\n"}), "--jobs", "0")
    assert done.code == 2 and "[usage-bad-arguments]" in done.err
