"""A build on a store whose disk is too small."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.command import Command, project
from tests.support.waiting import copied


@pytest.fixture
def small(tmp_path: Path, busybox_store: Path) -> Iterator[Command]:
    """The command with a store on a file system of 24 MiB, most of which is free."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=True)
    try:
        yield Command(copied(busybox_store, place / "store"))
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_step_that_fills_the_disk(small: Command, tmp_path: Path) -> None:
    """The step sees the full disk first, and says so; the store works on."""
    text = "FROM busybox\nRUN echo kept > /kept\nRUN dd if=/dev/zero of=/large bs=1000 count=60000\n"
    context = project(tmp_path / "context", text)
    done = small.build(context)
    assert done.code == 5
    assert "No space left on device" in done.err
    assert f"{context}/Dockerfile:3" in done.err
    small.verify()
    (context / "Dockerfile").write_text(text.replace("60000", "60"))
    assert set(small.build(context).verdicts()) == {"RUN dd if=/dev/zero of=/large bs=1000 count=60"}


def test_a_copy_that_fills_the_disk(small: Command, tmp_path: Path) -> None:
    context = project(tmp_path / "context", "FROM busybox\nRUN echo kept > /kept\nCOPY large /large\n")
    (context / "large").write_bytes(b"x" * 60_000_000)
    done = small.build(context)
    assert "Traceback" not in done.err
    assert (done.code, "[store-full]" in done.err) == (7, True), done.err
    assert "lamina cache prune" in done.err
    assert f"{context}/Dockerfile:3" in done.err
    small.verify()
    (context / "large").write_bytes(b"x")
    done = small.build(context, "-t", "x")
    assert done.row("RUN echo kept").verdict == "cached"
    assert small.run("run", "x", "cat", "/large", "/kept").out == "xkept\n"


def test_an_image_that_does_not_fit(small: Command, tmp_path: Path, busybox_tar: Path) -> None:
    before = small.contents()
    large = tmp_path / "large.tar"
    (tmp_path / "root").mkdir()
    (tmp_path / "root/noise").write_bytes(os.urandom(40_000_000))
    subprocess.run(["tar", "-C", tmp_path / "root", "-cf", large, "."], check=True)
    done = small.run("import", large, "large")
    assert "Traceback" not in done.err
    assert (done.code, "[store-full]" in done.err) == (7, True), done.err
    assert small.contents() == before
    small.verify()
    assert small.run("import", busybox_tar, "again").code == 0


def test_a_disk_without_a_free_byte(small: Command, tmp_path: Path) -> None:
    """Nothing works but what makes room; then everything does."""
    context = project(tmp_path / "context", "FROM busybox\nRUN head -c 3000000 /dev/urandom > /noise\n")
    small.build(context, "-t", "x").ok()
    filler = small.root.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    (context / "Dockerfile").write_text("FROM busybox\nRUN head -c 3000000 /dev/urandom > /other\n")
    done = small.build(context)
    assert done.code in (5, 7), done.err
    assert "Traceback" not in done.err
    small.run("rmi", "x")
    pruned = small.run("cache", "prune", "--max-size", "3mb")
    assert pruned.code == 0, pruned.err
    done = small.build(context, "-t", "y")
    assert done.code == 0, done.err
    filler.unlink()
    small.verify()
    assert small.run("run", "y", "wc", "-c", "/other").out.split()[0] == "3000000"
