"""The merged view of random stacks against the kernel's own: an overlay of the same layer directories."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.layer_making import grow, mounted, workspace

from lamina.image.rootfs import Rootfs

_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_THINGS = st.one_of(
    st.sampled_from([None, None, "opaque", "whiteout", b"", b"text", "fifo"]),
    st.sampled_from(["->a", "->/b", "->../c", "->a/b", "->nowhere", "->../../../../etc", "->/"]),
)
_LAYERS = st.lists(st.dictionaries(_PATHS, _THINGS, max_size=7), min_size=1, max_size=4)


def _possible(tree: dict[str, bytes | str | None]) -> dict[str, bytes | str | None]:
    """Leave out what stands below something that is no directory."""
    solid = {path for path, what in tree.items() if what is not None and what != "opaque"}
    return {path: what for path, what in tree.items() if not any(path.startswith(other + "/") for other in solid)}


def _ours(rootfs: Rootfs) -> dict[str, tuple[int, object]]:
    found: dict[str, tuple[int, object]] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [("", rootfs.dirs)]
    while waiting:
        path, dirs = waiting.pop()
        for name, is_dir in rootfs.listing(dirs).items():
            node = rootfs.child(dirs, name)
            assert node is not None
            assert node.is_dir == is_dir
            found[path + name] = (node.stat.st_mode, _held(Path(node.real), node.stat.st_mode))
            if node.is_dir:
                waiting.append((f"{path}{name}/", node.dirs))
    return found


def _kernels(root: Path) -> dict[str, tuple[int, object]]:
    found: dict[str, tuple[int, object]] = {}
    for above, dirs, files in os.walk(root):
        for name in [*dirs, *files]:
            path = Path(above, name)
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue  # overlayfs lists a whiteout in a directory of one layer alone, where it hides nothing
            found[path.relative_to(root).as_posix()] = (mode, _held(path, mode))
    return found


def _held(path: Path, mode: int) -> object:
    if stat.S_ISLNK(mode):
        return path.readlink().as_posix()
    return path.read_bytes() if stat.S_ISREG(mode) else None


def _chrooted(root: Path, path: str) -> object:
    """What a process that is chrooted to `root` reaches by a path: mode and content, None for an error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chroot(root)
            inside = Path("/", path)
            mode = inside.stat().st_mode
            os.write(writer, repr((mode, _held(inside, mode))).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as answer:
        return answer.read().decode() or None


def _reached(rootfs: Rootfs, path: str) -> object:
    try:
        node = rootfs.walk(path).node
    except OSError:
        return None
    return None if node is None else repr((node.stat.st_mode, _held(Path(node.real), node.stat.st_mode)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(layers=_LAYERS, paths=st.lists(_PATHS, max_size=3))
def test_the_merged_view_is_the_kernels(layers: list[dict[str, bytes | str | None]], paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        directories = [grow(base / f"layer{number}", _possible(tree)) for number, tree in enumerate(layers)]
        work = workspace(base / "work", *directories)
        rootfs = Rootfs(directories)
        with mounted(work) as point:
            assert _ours(rootfs) == _kernels(point)
            for path in paths:
                assert _reached(rootfs, path) == _chrooted(point, path)
