"""What `diff` says of a layer directory: the digests that early cutoff and chain IDs rest on."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.layer_trees import said

from lamina.digest import DiffID, Digest
from lamina.image.diff import BackgroundHash, diff
from lamina.ports.layers import LayerDiff
from lamina.store.measure import measured


def tree(root: Path, *, time: int = 1_000, backwards: bool = False) -> Path:
    names = ["a", "b", "d/c", "d/e"]
    for name in names[::-1] if backwards else names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "l").symlink_to("a")
    os.mknod(root / "gone", stat.S_IFCHR, 0)
    for name in ("a", "b", "d/c", "d/e", "d"):
        os.utime(root / name, (time, time))
    os.utime(root / "l", (time, time), follow_symlinks=False)
    return root


def test_an_empty_layer(tmp_path: Path) -> None:
    empty = "sha256:" + hashlib.sha256(bytes(1024)).hexdigest()
    disk = tmp_path.stat().st_blocks * 512
    assert diff(tmp_path) == LayerDiff(DiffID(empty), size=0, empty=True, files=Digest(empty), disk=disk)


def test_what_a_layer_takes_on_the_disk_is_what_the_store_would_measure(tmp_path: Path) -> None:
    root = tree(tmp_path / "layer")
    (root / "big").write_bytes(bytes(range(256)) * 100)
    os.link(root / "big", root / "d/twin")
    os.link(root / "a", tmp_path / "elsewhere")
    own, shared = measured([root])
    assert diff(root).disk == own
    assert own > 25_600 and shared > 0


def test_the_order_of_creation_does_not_count(tmp_path: Path) -> None:
    assert said(diff(tree(tmp_path / "1"))) == said(diff(tree(tmp_path / "2", backwards=True)))


def test_the_diff_id_is_that_of_the_tar(tmp_path: Path) -> None:
    pieces: list[bytes] = []
    got = diff(tree(tmp_path), sink=pieces.append)
    assert got.diff_id == "sha256:" + hashlib.sha256(b"".join(pieces)).hexdigest()
    assert (got.size, got.empty) == (len("abd/cd/e"), False)


def test_times_change_the_diff_id_and_not_the_files(tmp_path: Path) -> None:
    one, two = diff(tree(tmp_path / "1")), diff(tree(tmp_path / "2", time=2_000))
    assert one.diff_id != two.diff_id
    assert one.files == two.files


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "a").write_text("A"),
    "same size, other place": lambda root: (root / "d/c").write_text("d/e"),
    "mode": lambda root: (root / "a").chmod(0o600),
    "directory's mode": lambda root: (root / "d").chmod(0o700),
    "owner": lambda root: os.chown(root / "a", 1, 0),
    "group": lambda root: os.chown(root / "a", 0, 1),
    "xattr": lambda root: os.setxattr(root / "a", "user.x", b""),
    "name": lambda root: (root / "a").rename(root / "z"),
    "link": lambda root: _replace(root / "l", lambda path: path.symlink_to("b")),
    "kind": lambda root: _replace(root / "a", lambda path: path.mkdir()),
    "whiteout": lambda root: os.mknod(root / "gone2", stat.S_IFCHR, 0),
    "opaque": lambda root: os.setxattr(root / "d", "trusted.overlay.opaque", b"y"),
    "hard link": lambda root: _replace(root / "b", lambda path: os.link(root / "a", path)),
    "empty directory": lambda root: (root / "new").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_everything_else_changes_both(tmp_path: Path, change: str) -> None:
    before = diff(tree(tmp_path))
    CHANGES[change](tmp_path)
    after = diff(tmp_path)
    assert after.files != before.files
    assert after.diff_id != before.diff_id


def test_large_files_are_hashed_aside_with_the_same_result(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a-small").write_text("s")
        (tmp_path / name / "big").write_bytes(
            os.urandom(100) * 50_000 if name == "1" else (tmp_path / "1/big").read_bytes()
        )
        (tmp_path / name / "z-small").write_text("s")
    os.utime(tmp_path / "2/big", (5, 5))
    assert diff(tmp_path / "1").files == diff(tmp_path / "2").files


def test_the_background_hash_is_sha256_in_order() -> None:
    pieces = [b"a", b"b" * (1 << 20), b"c", b"d" * (2 << 20), b"", b"e"] * 5
    with BackgroundHash() as digest:
        for piece in pieces:
            digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()
