"""Merged root file systems, as tars and directories: what a container would see, and a careful copy of it."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from tests.support.layer_trees import facts

from lamina.diagnostics import BuildFailure
from lamina.image.flatten import flatten_to_directory, flatten_to_tar


@pytest.fixture
def stack(tmp_path: Path) -> tuple[Path, Path]:
    """Topmost first."""
    top, low = tmp_path / "top", tmp_path / "low"
    (low / "etc/deep").mkdir(parents=True)
    (low / "etc/deep/old").write_text("old")
    (low / "etc/passwd").write_text("low")
    (low / "gone").write_text("x")
    (low / "kept").write_text("k")
    os.link(low / "kept", low / "kept2")
    os.mknod(low / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(low / "pipe")
    (top / "etc/deep").mkdir(parents=True)
    os.setxattr(top / "etc/deep", "trusted.overlay.opaque", b"y")
    (top / "etc/deep/new").write_text("new")
    (top / "etc/passwd").write_text("top")
    (top / "etc/passwd").chmod(0o4755)
    os.chown(top / "etc/passwd", 5, 6)
    (top / "etc/passwd").chmod(0o4755)
    os.setxattr(top / "etc/passwd", "user.note", b"n")
    os.utime(top / "etc/passwd", (1_000, 1_000))
    os.mknod(top / "gone", stat.S_IFCHR, 0)
    (top / "link").symlink_to("/etc/passwd")
    (top / "etc").chmod(0o555)
    os.utime(top / "etc", (2_000, 2_000))
    return top, low


SEEN = ["etc", "etc/deep", "etc/deep/new", "etc/passwd", "kept", "kept2", "link", "null", "pipe"]


def test_the_tar_has_what_a_container_would_see(stack: tuple[Path, Path]) -> None:
    pieces: list[bytes] = []
    stats = flatten_to_tar(stack, pieces.append)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), errorlevel=2) as archive:
        found = {member.name: member for member in archive}
        content = archive.extractfile("etc/passwd")
        assert content is not None
        assert content.read() == b"top"
    assert list(found) == SEEN
    assert (found["etc"].mode, found["etc"].mtime) == (0o555, 2_000)
    assert (found["etc/passwd"].mode, found["etc/passwd"].uid, found["etc/passwd"].gid) == (0o4755, 5, 6)
    assert found["etc/passwd"].pax_headers["SCHILY.xattr.user.note"] == "n"
    assert found["etc/deep"].pax_headers == {}
    assert (found["kept2"].type, found["kept2"].linkname) == (tarfile.LNKTYPE, "kept")
    assert stats.entries == len(SEEN)


def test_as_root_the_directory_has_it_all(tmp_path: Path, stack: tuple[Path, Path]) -> None:
    out = tmp_path / "a/out"
    flatten_to_directory(stack, out, keep_owners=True)
    found = facts(out)
    assert list(found) == SEEN
    assert found["etc"][1:4] == (0o555, (0, 0), 2_000)
    assert found["etc/passwd"][1:4] == (0o4755, (5, 6), 1_000)
    assert found["etc/passwd"][7] == (("user.note", b"n"),)
    assert found["etc/deep"][7] == ()
    assert found["kept2"][8] == "kept"
    assert found["null"][4] == os.makedev(1, 3)


def test_otherwise_it_belongs_to_the_caller(tmp_path: Path, stack: tuple[Path, Path]) -> None:
    flatten_to_directory(stack, tmp_path / "out", keep_owners=False)
    found = facts(tmp_path / "out")
    assert list(found) == [name for name in SEEN if name != "null"]
    assert {fact[2] for fact in found.values()} == {(0, 0)}
    assert found["etc/passwd"][1] == 0o755, "set-uid is not handed to another owner"


def test_again_into_the_same_place(tmp_path: Path, stack: tuple[Path, Path]) -> None:
    out = tmp_path / "out"
    flatten_to_directory(stack, out, keep_owners=True)
    first = facts(out)
    (out / "mine").write_text("stays")
    flatten_to_directory(stack, out, keep_owners=True)
    assert {**first, "mine": facts(out)["mine"]} == facts(out)


def test_nothing_in_the_way_is_written_through(tmp_path: Path, stack: tuple[Path, Path]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "etc").symlink_to(outside)
    (out / "kept").symlink_to(outside / "precious")
    os.link(outside / "precious", out / "kept2")
    before = facts(outside)
    flatten_to_directory(stack, out, keep_owners=True)
    after = facts(outside)
    assert after.keys() == before.keys()
    assert (outside / "precious").read_text() == "precious"
    assert not (out / "etc").is_symlink()


def test_a_directory_of_the_user_is_not_deleted(tmp_path: Path, stack: tuple[Path, Path]) -> None:
    (tmp_path / "out/kept/work").mkdir(parents=True)
    with pytest.raises(BuildFailure, match="'kept'") as caught:
        flatten_to_directory(stack, tmp_path / "out", keep_owners=True)
    assert caught.value.diagnostic.reference == "image-output-conflict"
    assert (tmp_path / "out/kept/work").is_dir()


def test_a_target_that_is_a_file(tmp_path: Path, stack: tuple[Path, Path]) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BuildFailure) as caught:
        flatten_to_directory(stack, tmp_path / "out", keep_owners=True)
    assert caught.value.diagnostic.reference == "image-output-failed"


def test_an_image_of_no_layers(tmp_path: Path) -> None:
    pieces: list[bytes] = []
    flatten_to_tar((), pieces.append)
    assert b"".join(pieces) == bytes(1024)
    flatten_to_directory((), tmp_path / "out", keep_owners=False)
    assert list((tmp_path / "out").iterdir()) == []
