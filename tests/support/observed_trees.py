"""`python observed_trees.py FOLDER DEVICE [USER]`: that trees seen through the observer are the plain ones.

A process of its own, since it enters namespaces. Prints `same` at the end.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.layer_trees import facts
from tests.support.runner_process import become

from lamina.runtime import namespace
from lamina.runtime.observer import FuseObserver

NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
META = st.tuples(st.integers(0, 0o7777), st.integers(0, 3), st.integers(0, 3), st.integers(-(10**12), 10**19 // 2))
XATTRS = st.dictionaries(st.sampled_from(["user.a", "user.b", "security.x"]), st.binary(max_size=300), max_size=2)
FILES = st.tuples(st.just("file"), META, XATTRS, st.binary(max_size=64), st.sampled_from([0, 1, 4096, 300_000]))
LINKS = st.tuples(st.just("link"), META, st.binary(min_size=1, max_size=300).filter(lambda to: 0 not in to))
OTHERS = st.tuples(st.sampled_from(["fifo", "whiteout"]), META)
TREES = st.recursive(
    st.one_of(FILES, LINKS, OTHERS),
    lambda inner: st.tuples(st.just("dir"), META, XATTRS, st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=12,
)


def make(path: bytes, tree: Any) -> None:
    """Make one entry and all in it. What this file system or user may not have is left out."""
    kind, (mode, uid, gid, mtime) = tree[0], tree[1]
    try:
        if kind == "dir":
            os.mkdir(path)
            for name, inner in tree[3].items():
                make(path + b"/" + name, inner)
        elif kind == "file":
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(tree[3])
                file.truncate(len(tree[3]) + tree[4])
        elif kind == "link":
            os.symlink(tree[2], path)
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            os.mknod(path, 0o020000, 0)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        return
    os.chown(path, uid, gid, follow_symlinks=False)
    if kind in ("dir", "file"):
        for name, value in tree[2].items():
            try:
                os.setxattr(path, name, value)
            except OSError:
                continue
    if kind != "link":
        os.chmod(path, mode)
    os.utime(path, ns=(0, mtime), follow_symlinks=False)


def sizes(root: Path) -> dict[str, tuple[int, int, int]]:
    """Path → size, nanoseconds, bytes by `read` of each file."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            info = os.lstat(f"{folder}/{name}")
            found[os.path.relpath(f"{folder}/{name}", root)] = (info.st_size, info.st_mtime_ns, info.st_mode)
    return found


def inodes(root: Path) -> dict[str, tuple[int, int]]:
    paths = [f"{folder}/{name}" for folder, folders, files in os.walk(root) for name in folders + files]
    return {os.path.relpath(path, root): (os.lstat(path).st_ino, os.lstat(path).st_nlink) for path in paths}


def check(folder: Path, device: Path, names: dict[bytes, Any]) -> None:
    """One tree, observed twice, as the second of two layers."""
    plain = folder / "plain"
    other = folder / "other"
    for each in (plain, other):
        each.mkdir()
    try:
        for name, tree in names.items():
            make(os.fsencode(plain) + b"/" + name, tree)
        seen = []
        for _ in range(2):
            with FuseObserver(device).watch([other, plain], folder) as watched:
                view = watched.layers[1]
                assert facts(view) == facts(plain)
                assert sizes(view) == sizes(plain)
                seen.append(inodes(view))
                looks = watched.looks()
                assert not looks[0]
                # More, where the walk itself followed a link.
                assert {look.path for look in looks[1] if look.kind == "entry"} >= set(seen[0])
        assert seen[0] == seen[1]
        assert len({ino for ino, _ in seen[0].values()}) == len(seen[0])
        assert {links for _, links in seen[0].values()} <= {1}
    finally:
        for each in (plain, other):
            shutil.rmtree(each)


def main(folder: Path, device: Path) -> None:
    namespace.enter()

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(NAMES, TREES, max_size=6))
    def trees(names: dict[bytes, Any]) -> None:
        check(folder, device, names)

    trees()
    print("same")  # noqa: T201


if __name__ == "__main__":
    if len(sys.argv) > 3:
        become(sys.argv[3], [sys.base_prefix, str(Path(__file__).parents[2])])
        os.execv(sys.executable, [sys.executable, __file__, *sys.argv[1:3]])
    main(Path(sys.argv[1]), Path(sys.argv[2]))
