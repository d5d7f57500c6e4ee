"""Deleting any tree."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lamina.store.remove import remove_tree
from lamina.store.session import Session, recover
from lamina.store.store import Store


def test_files_links_and_nothing(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(outside)
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "a" / "b" / "fifo")
    os.mknod(tree / "whiteout", 0o600 | 0o020000, os.makedev(0, 0))
    (tree / ".0").write_text("a name that the removal uses too")
    (tree / ".1" / "x").mkdir(parents=True)
    (tree / "n\udcff").write_text("")
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "precious").exists()
    remove_tree(tree)
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert (outside / "precious").exists()
    remove_tree(outside / "precious")
    assert list(outside.iterdir()) == []


def test_a_tree_deeper_than_paths_may_be_long(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("a-directory", dir_fd=here)
        os.close(os.open("file", os.O_CREAT, dir_fd=here))
        below = os.open("a-directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(tree)
    assert not tree.exists()


AS_NOBODY = """
import os, sys
from pathlib import Path
from lamina.store.remove import remove_tree
os.setgid(65534), os.setuid(65534)
tree = Path(sys.argv[1]) / "tree"
(tree / "a" / "b").mkdir(parents=True)
(tree / "a" / "b" / "file").write_text("x")
(tree / "empty").mkdir()
for path, mode in (("a/b/file", 0), ("a/b", 0), ("a", 0o500), ("empty", 0), ("", 0o500)):
    (tree / path).chmod(mode)
remove_tree(tree)
print(tree.exists())
"""


def test_directories_without_permissions() -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own directories let nobody else in
        os.chown(place, 65534, 65534)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", AS_NOBODY, place]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert done.stdout == "False\n"


def test_recovery_takes_the_dead_and_leaves_the_living(store: Store) -> None:
    living = Session(store.layout)
    kept = living.fresh()
    kept.write_text("x")
    (store.layout.tmp / "dead" / "0" / "upper").mkdir(parents=True)
    (store.layout.tmp / "dead" / "owner").touch()
    (store.layout.tmp / "killed before its lock").mkdir()
    assert recover(store.layout) == 2
    assert kept.exists()
    assert recover(store.layout) == 0
    living.close()
    assert list(store.layout.tmp.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "directory"])
def test_discarding_goes_through_tmp(store: Store, name: str) -> None:
    path = store.layout.layers / name
    if name == "file":
        path.write_text("x")
    else:
        (path / "deep").mkdir(parents=True)
    store.session.discard(path)
    assert not path.exists()
    store.session.discard(path)
