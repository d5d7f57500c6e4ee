"""Finding paths inside a root: links, `..`, what is missing, and no way out; the kernel's chroot is the judge."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.runtime.inside import find_program, locate


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_text("x")
    (root / "bin").mkdir()
    (root / "bin/tool").write_text("#!/bin/sh\n")
    (root / "bin/tool").chmod(0o755)
    (root / "bin/plain").write_text("")
    for name, target in {
        "up": "../../../../..",
        "absolute": "/a/b",
        "relative": "a/b",
        "dangling": "/no/such/thing",
        "loop": "loop",
        "a/b/back": "../../bin",
        "chain": "absolute/back/tool",
        "outside": str(tmp_path),
    }.items():
        (root / name).symlink_to(target)
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    descriptor = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "place", "existing"),
    [
        ("/", "/", 0),
        ("/a/b", "/a/b", 2),
        ("//a/./b/", "/a/b", 2),
        ("/a/b/../../../..", "/", 0),
        ("/up/a", "/a", 1),
        ("/absolute/x", "/a/b/x", 2),
        ("/relative/back/plain", "/bin/plain", 2),
        ("/chain", "/bin/tool", 2),
        ("/dangling", "/no/such/thing", 0),
        ("/dangling/more", "/no/such/thing/more", 0),
        ("/missing/x/../y", "/missing/y", 0),
        ("/missing/../a", "/a", 1),
        ("/a/missing/../b", "/a/b", 2),
    ],
)
def test_paths_lead_where_they_should(root: int, path: str, place: str, existing: int) -> None:
    found = locate(root, path)
    assert (found.path, found.existing) == (place, existing)
    assert (found.mode is None) == (existing < len([part for part in place.split("/") if part]))


def test_a_link_to_the_outside_ends_inside(root: int, tmp_path: Path) -> None:
    found = locate(root, "/outside/root")
    assert found.path == f"{tmp_path}/root"
    assert found.mode is None


def test_relative_paths_start_at_the_working_directory(root: int) -> None:
    assert locate(root, "../bin", "/a").path == "/bin"


@pytest.mark.parametrize("path", ["/loop", "/loop/x", "/a/file/x"])
def test_paths_that_no_kernel_would_follow(root: int, path: str) -> None:
    with pytest.raises(BuildFailure) as failure:
        locate(root, path)
    assert failure.value.diagnostic.reference == "runtime-bad-path"


def test_existing_places_agree_with_the_kernels_chroot(root: int, tree: Path) -> None:
    (tree / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (tree / "bin/busybox").chmod(0o755)
    for path in ("/up/a/b", "/chain", "/relative/back", "/absolute/../file", "/a/b/back/../up/a"):
        judged = subprocess.run(
            ["chroot", str(tree), "/bin/busybox", "readlink", "-f", path], capture_output=True, text=True, check=True
        )
        assert locate(root, path).path == judged.stdout.strip()


def test_kinds_are_told(root: int) -> None:
    assert locate(root, "/a").is_dir
    mode = locate(root, "/a/file").mode
    assert mode is not None
    assert stat.S_ISREG(mode)


def test_programs_are_found_as_execvp_finds_them(root: int) -> None:
    assert find_program(root, "tool", "/nowhere:/bin", "/")
    assert find_program(root, "tool", ":/nowhere", "/bin")
    assert find_program(root, "./tool", "", "/bin")
    assert find_program(root, "/relative/back/tool", "", "/")
    assert not find_program(root, "plain", "/bin", "/")
    assert not find_program(root, "a", "/", "/")
    assert not find_program(root, "tool", "/loop:/a/file", "/")
