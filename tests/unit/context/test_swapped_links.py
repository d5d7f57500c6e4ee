"""Somebody swaps parts of the context for links and pipes while the build goes on: nothing outside is ever read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("ctx/a/b/file", "ctx/z/other", "outside/b/file", "outside/file"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("inside" if name.startswith("ctx") else "SECRET")
    return tmp_path / "ctx"


def swap_file(root: Path) -> None:
    (root / "a/b/file").unlink()
    (root / "a/b/file").symlink_to("../../../outside/file")


def swap_parent(root: Path) -> None:
    (root / "a/b").rename(root / "a/old")
    (root / "a/b").symlink_to("../../outside/b")


def swap_grandparent(root: Path) -> None:
    (root / "a").rename(root / "old")
    (root / "a").symlink_to("../outside")


def swap_for_hard_link(root: Path) -> None:
    (root / "a/b/file").unlink()
    os.link(root.parent / "outside/file", root / "a/b/file")


def swap_for_pipe(root: Path) -> None:
    (root / "a/b/file").unlink()
    os.mkfifo(root / "a/b/file")


def swap_for_directory(root: Path) -> None:
    (root / "a/b/file").unlink()
    (root / "a/b/file").mkdir()


SWAPS = [swap_file, swap_parent, swap_grandparent, swap_for_pipe, swap_for_directory]


@pytest.mark.parametrize("swap", SWAPS)
def test_between_scan_and_digest(root: Path, swap: Callable[[Path], None]) -> None:
    with DirectoryContext(root) as context:
        context.entries()
        swap(root)
        with pytest.raises(BuildFailure) as caught:
            context.digested(["a/b/file"])
        assert caught.value.diagnostic.reference in ("context-changed", "context-unreadable")


@pytest.mark.parametrize("swap", [*SWAPS, swap_for_hard_link])
def test_between_digest_and_open(root: Path, swap: Callable[[Path], None]) -> None:
    with DirectoryContext(root, now=lambda: time.time_ns() + 10**13) as context:
        (record,) = context.digested(["a/b/file"])
    with DirectoryContext(root, now=lambda: time.time_ns() + 10**13) as context:
        assert context.digested(["a/b/file", "z/other"])[0] == record
        swap(root)
        with pytest.raises(BuildFailure) as caught:
            context.open(record)
        assert caught.value.diagnostic.reference in ("context-changed", "context-unreadable")


def test_a_walk_during_constant_swapping_stays_inside(root: Path) -> None:
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            swap_grandparent(root)
            (root / "a").unlink()
            (root / "old").rename(root / "a")

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        began, seen = time.monotonic(), set()
        # On a busy machine the swapping leaves a whole directory only now and then.
        while time.monotonic() < began + (0.7 if "a/b/file" in seen else 30):
            with DirectoryContext(root) as context:
                # What nobody touches is there every time, whatever happens beside it.
                assert {"z", "z/other"} <= {record.path for record in context.entries()}
                for record in context.entries():
                    seen.add(record.path)
                    if record.kind == "file":
                        try:
                            assert context.digested([record.path])[0].size == len("inside")
                            with context.open(context.digested([record.path])[0]) as file:
                                assert file.read() == b"inside"
                        except BuildFailure as failure:
                            assert failure.diagnostic.reference == "context-changed"
    finally:
        stop.set()
        thread.join()
    assert "a/b/file" in seen
    assert "a/file" not in seen
