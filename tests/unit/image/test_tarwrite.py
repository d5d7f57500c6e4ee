"""Layer directories as tars: entries, order, marks, hard links, attributes, refusals."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.image.tarwrite import LayerStats, write_layer
from lamina.image.xattrs import Namespace


def tar(upper: Path, namespace: Namespace = "trusted") -> tuple[bytes, LayerStats]:
    out: list[bytes] = []
    stats = write_layer(upper, out.append, xattr_namespace=namespace)
    return b"".join(out), stats


def members(upper: Path, namespace: Namespace = "trusted") -> dict[str, tarfile.TarInfo]:
    data, _ = tar(upper, namespace)
    with tarfile.open(fileobj=io.BytesIO(data), errorlevel=2) as archive:
        return {member.name: member for member in archive}


def names(upper: Path) -> list[str]:
    data, _ = tar(upper)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [member.name + ("/" if member.isdir() else "") for member in archive]


def test_an_empty_layer_is_two_zero_blocks(tmp_path: Path) -> None:
    data, stats = tar(tmp_path)
    assert data == bytes(1024)
    assert stats == LayerStats(0, 0, 1024, tmp_path.stat().st_blocks * 512)


def test_order_is_that_of_the_entry_names(tmp_path: Path) -> None:
    for name in ("a", "a/b", "a/b/z", "a-", "Z", "ä"):
        (tmp_path / name).mkdir()
    for name in ("a.b", "a/x", "a/b/z/1", "a/b.c", "a0", "b"):
        (tmp_path / name).write_text(name)
    got = names(tmp_path)
    assert got == sorted(got, key=str.encode)
    assert got == ["Z/", "a-/", "a.b", "a/", "a/b.c", "a/b/", "a/b/z/", "a/b/z/1", "a/x", "a0", "b", "ä/"]


def test_content_modes_owners_and_times(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / "f"
    file.write_bytes(b"x" * 1000)
    os.chown(file, 12, 34)
    file.chmod(0o6751)
    os.utime(file, ns=(0, 1_600_000_000_999_999_999))
    (tmp_path / "d").chmod(0o1770)
    data, stats = tar(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.getmember("d/f")
        content = archive.extractfile(member)
        assert content is not None
        assert content.read() == b"x" * 1000
        assert archive.getmember("d").mode == 0o1770
    assert (member.uid, member.gid, member.mode, member.mtime) == (12, 34, 0o6751, 1_600_000_000)
    assert (stats.entries, stats.size, stats.tar_size) == (2, 1000, len(data))
    assert len(data) % 512 == 0


def test_times_before_the_epoch_are_cut_downwards(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    os.utime(tmp_path / "old", ns=(0, -1_500_000_000))
    assert members(tmp_path)["old"].mtime == -2


def test_whiteouts_and_opaque_directories(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mknod(tmp_path / "d" / "gone", stat.S_IFCHR, 0)
    os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (tmp_path / "d" / "!first").write_text("")
    (tmp_path / "later").mkdir()
    os.setxattr(tmp_path / "d", "trusted.overlay.opaque", b"y")
    os.setxattr(tmp_path / "later", "trusted.overlay.opaque", b"x")
    assert names(tmp_path) == ["d/", "d/.wh..wh..opq", "d/!first", "d/.wh.gone", "later/", "null"]
    found = members(tmp_path)
    marker = found["d/.wh.gone"]
    assert (marker.type, marker.size, marker.mode, marker.uid, marker.mtime) == (tarfile.REGTYPE, 0, 0, 0, 0)
    assert found["null"].ischr()
    assert (found["null"].devmajor, found["null"].devminor) == (1, 3)


def test_shared_whiteout_inodes_are_no_hard_links(tmp_path: Path) -> None:
    os.mknod(tmp_path / "a", stat.S_IFCHR, 0)
    os.link(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == [".wh.a", ".wh.b"]


def test_whiteouts_as_xattrs(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("")
    os.setxattr(tmp_path / "gone", "trusted.overlay.whiteout", b"")
    assert names(tmp_path) == [".wh.gone"]


def test_marks_count_in_their_own_namespace_only_and_never_enter(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", "user.overlay.opaque", b"y")
    os.setxattr(tmp_path / "d", "trusted.overlay.origin", b"\0\xfb")
    (tmp_path / "d" / "f").write_text("")
    os.setxattr(tmp_path / "d" / "f", "user.note", b"kept")
    os.setxattr(tmp_path / "d" / "f", "trusted.note", b"not kept")
    assert sorted(members(tmp_path)) == ["d", "d/f"]
    found = members(tmp_path, "user")
    assert sorted(found) == ["d", "d/.wh..wh..opq", "d/f"]
    assert found["d"].pax_headers == {}
    assert found["d/f"].pax_headers == {"SCHILY.xattr.user.note": "kept"}


def test_the_root_is_never_marked(tmp_path: Path) -> None:
    os.setxattr(tmp_path, "trusted.overlay.opaque", b"y")
    assert names(tmp_path) == []


@pytest.mark.parametrize("mark", ["redirect", "metacopy"])
def test_layers_with_parts_elsewhere_are_refused(tmp_path: Path, mark: str) -> None:
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", f"trusted.overlay.{mark}", b"/elsewhere")
    with pytest.raises(BuildFailure) as caught:
        tar(tmp_path)
    assert caught.value.diagnostic.reference == "image-unsupported-layer"


def test_capabilities(tmp_path: Path) -> None:
    (tmp_path / "ping").write_text("#!")
    subprocess.run(["setcap", "cap_net_raw+ep", str(tmp_path / "ping")], check=True)
    value = os.getxattr(tmp_path / "ping", "security.capability")
    assert b"SCHILY.xattr.security.capability=" + value + b"\n" in tar(tmp_path)[0]


def test_hard_links_go_to_the_first_path(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("content")
    for name in ("c", "a"):
        os.link(tmp_path / "b", tmp_path / name)
    (tmp_path / "link").symlink_to("b")
    os.link(tmp_path / "link", tmp_path / "link2", follow_symlinks=False)
    found = members(tmp_path)
    assert found["a"].isreg()
    assert [(found[name].type, found[name].linkname) for name in "bc"] == [(tarfile.LNKTYPE, "a")] * 2
    assert found["link"].issym()
    assert (found["link2"].type, found["link2"].linkname) == (tarfile.LNKTYPE, "link")
    assert tar(tmp_path)[1].size == len("content")


def test_a_name_outside_the_layer_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "outside").write_text("x")
    os.link(tmp_path / "outside", tmp_path / "upper" / "inside")
    assert members(tmp_path / "upper")["inside"].isreg()


def test_pipes_are_kept_and_sockets_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        found = members(tmp_path)
    assert list(found) == ["pipe"]
    assert found["pipe"].isfifo()


def test_names_that_mean_deletions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".wh.file").write_text("")
    with pytest.raises(BuildFailure, match=r"'/d/\.wh\.file' cannot be part of an image"):
        tar(tmp_path)


@pytest.mark.parametrize("change", [b"", b"longer than before"])
def test_a_file_that_changes_its_size_meanwhile_is_an_error(tmp_path: Path, change: bytes) -> None:
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    (tmp_path / "b").write_bytes(b"x" * 600_000)
    changed = False

    def sink(_: bytes) -> None:
        nonlocal changed
        if not changed:
            changed = True
            with (tmp_path / "a").open("r+b") as file:
                file.seek(0, os.SEEK_END) if change else file.truncate(0)
                file.write(change)

    with pytest.raises(BuildFailure) as caught:
        write_layer(tmp_path, sink)
    assert caught.value.diagnostic.reference == "image-layer-changed"
    assert "'/a'" in str(caught.value)


def test_a_missing_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as caught:
        tar(tmp_path / "nowhere")
    assert caught.value.diagnostic.reference == "image-layer-unreadable"
    assert caught.value.diagnostic.cause == "No such file or directory"


def test_pieces_are_large_and_no_descriptor_is_left_open(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number}").write_bytes(b"x" * 700)
    before = len(os.listdir("/proc/self/fd"))
    out: list[bytes] = []
    write_layer(tmp_path, out.append)
    assert len(os.listdir("/proc/self/fd")) <= before  # some of an earlier test may have gone
    assert all(len(piece) >= 1 << 18 for piece in out[:-1])
    assert max(map(len, out)) < 1 << 20


def test_a_deep_tree(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "leaf").write_text("x")
    assert "/".join(["d"] * 300 + ["leaf"]) in members(tmp_path)
