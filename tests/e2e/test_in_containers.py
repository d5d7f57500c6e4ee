"""Surroundings that a container makes: a pid namespace without the machine's process 2, and no new device files."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command import Command

SMALL = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
NO_DEVICES = ("setpriv", "--bounding-set=-mknod")


@pytest.mark.parametrize("around", [SMALL, NO_DEVICES, (*SMALL, *NO_DEVICES)], ids=["pids", "devices", "both"])
def test_steps_run_there_as_root_and_as_others(lamina: Command, tmp_path: Path, around: tuple[str, ...]) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\n"
        "RUN echo data > /dev/null && head -c 4 /dev/zero | wc -c > /wrote\n"
        "USER 1000\n"
        "RUN id -u > /tmp/who && echo $$ > /tmp/first\n"
    )
    Command(lamina.root, around).build(tmp_path, "-t", "x").ok()
    assert lamina.run("run", "x", "cat", "/wrote", "/tmp/who", "/tmp/first").ok().out == "4\n1000\n1\n"


def test_devices_that_are_lent_cannot_be_changed(lamina: Command, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN ! chmod 600 /dev/zero && ! chown 7 /dev/null\n")
    Command(lamina.root, NO_DEVICES).build(tmp_path).ok()
    assert {Path("/dev", name).stat().st_uid for name in ("zero", "null")} == {0}
