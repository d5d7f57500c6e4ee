"""Layer tars as layer directories: marks, links, parents, attributes, and entries that replace others."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard
from isal import igzip
from tests.support.layer_trees import directory, entry, facts, hard_link, link, tar_of, workspace

from lamina.diagnostics import BuildFailure
from lamina.image.rootfs import Rootfs
from lamina.image.unpack import Unpacker


def unpack(tmp_path: Path, *entries: tuple[tarfile.TarInfo, bytes], lower: Path | None = None) -> Path:
    work = workspace(tmp_path / "new", *([lower] if lower else []))
    Unpacker().unpack(io.BytesIO(tar_of(*entries)), "uncompressed", work)
    return work.upper


def is_whiteout(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


@pytest.mark.parametrize("compression", ["uncompressed", "gzip", "zstd"])
def test_the_diff_id_covers_every_byte_of_the_stream(tmp_path: Path, compression: str) -> None:
    data = tar_of(entry("a", data=b"hello")) + b"after the end" * 1000
    packed = {
        "uncompressed": data,
        "gzip": igzip.compress(data),
        "zstd": zstandard.ZstdCompressor().compress(data),
    }[compression]
    work = workspace(tmp_path)
    assert Unpacker().unpack(io.BytesIO(packed), compression, work) == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (work.upper / "a").read_text() == "hello"


def test_all_facts_of_a_file_arrive(tmp_path: Path) -> None:
    capability = b"\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    headers = {
        "SCHILY.xattr.user.note": "x",
        "SCHILY.xattr.security.capability": capability.decode(),
        "SCHILY.xattr.security.selinux": "label",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
    }
    upper = unpack(
        tmp_path,
        directory("d", mode=0o1777, uid=5, gid=6, mtime=1_000_000_000, pax_headers=headers),
        entry("d/f", data=b"x" * 300_000, mode=0o4711, uid=70_000, gid=8, mtime=1.25, pax_headers=headers),
        link("d/l", "/etc/passwd"),
        entry("d/p", tarfile.FIFOTYPE, mode=0o600),
        entry("d/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3),
        entry("d/loop", tarfile.BLKTYPE, mode=0o660, devmajor=7, devminor=9),
    )
    found = facts(upper)
    capabilities = ("security.capability", capability)
    content = hashlib.sha256(b"x" * 300_000).hexdigest()
    assert found["d"][:4] == (stat.S_IFDIR, 0o1777, (5, 6), 1_000_000_000)
    assert found["d/f"][:4] == (stat.S_IFREG, 0o4711, (70_000, 8), 1)
    assert found["d/f"][6:8] == (content, (capabilities, ("user.note", b"x")))
    assert found["d"][7] == (capabilities, ("user.note", b"x"))
    assert (upper / "d/f").stat().st_mtime_ns == 1_250_000_000
    assert found["d/l"][5] == "/etc/passwd"
    assert found["d/p"][:2] == (stat.S_IFIFO, 0o600)
    assert (found["d/null"][0], found["d/null"][4]) == (stat.S_IFCHR, os.makedev(1, 3))
    assert (found["d/loop"][0], found["d/loop"][4]) == (stat.S_IFBLK, os.makedev(7, 9))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar(tmp_path: Path, form: int) -> None:
    long = "/".join(["d" * 70] * 2) + "/" + "f" * 90
    entries = [entry(long, data=b"1", uid=2_000_000), link("l", "t" * 90), entry("bytes\udcff", data=b"2")]
    if form != tarfile.USTAR_FORMAT:
        entries += [entry("n" * 255), entry("x/" * 150 + "y"), link("m", "t" * 1000), entry("b", uid=3_000_000)]
    work = workspace(tmp_path)
    Unpacker().unpack(io.BytesIO(tar_of(*entries, form=form)), "uncompressed", work)
    found = facts(work.upper)
    assert {info.name for info, _ in entries} <= set(found)
    assert found[long][2] == (2_000_000, 0)
    assert found["l"][5] == "t" * 90
    if form != tarfile.USTAR_FORMAT:
        assert found["m"][5] == "t" * 1000
        assert found["b"][2] == (3_000_000, 0)


def test_whiteouts_become_devices_and_opaque_markers_xattrs(tmp_path: Path) -> None:
    upper = unpack(tmp_path, entry("etc/.wh.gone"), entry("var/.wh..wh..opq"), entry(".wh.top"), entry(".wh..wh.aufs"))
    assert is_whiteout(upper / "etc/gone")
    assert is_whiteout(upper / "top")
    assert opaque(upper / "var")
    assert sorted(facts(upper)) == ["etc", "etc/gone", "top", "var"]


def test_the_users_namespace_of_marks(tmp_path: Path) -> None:
    work = workspace(tmp_path)
    Unpacker("user").unpack(io.BytesIO(tar_of(entry("d/.wh..wh..opq"))), "uncompressed", work)
    assert os.getxattr(work.upper / "d", "user.overlay.opaque") == b"y"
    assert os.listxattr(work.upper / "d") == ["user.overlay.opaque"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_beside_its_own_name_hides_the_lower_one_only(tmp_path: Path, order: int) -> None:
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True)
    (lower / "d/old").write_text("")
    (lower / "f").write_text("old")
    entries = [entry(".wh.d"), entry("d/new"), entry(".wh.f"), entry("f", data=b"new")]
    upper = unpack(tmp_path, *entries[::order], lower=lower)
    view = Rootfs((upper, lower))
    assert view.walk("d/old").node is None
    assert view.walk("d/new").node is not None
    assert (upper / "f").read_text() == "new"


def test_an_opaque_root_hides_everything_below(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "d/inner").mkdir(parents=True)
    (lower / "f").write_text("")
    upper = unpack(tmp_path, entry("kept"), entry(".wh..wh..opq"), directory("d"), lower=lower)
    view = Rootfs((upper, lower))
    assert set(view.listing(view.dirs)) == {"kept", "d"}
    assert view.walk("d/inner").node is None


def test_missing_parents_look_as_in_the_lower_layer(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "home/me").mkdir(parents=True)
    (lower / "home/me").chmod(0o2750)
    os.chown(lower / "home/me", 1000, 1001)
    os.setxattr(lower / "home/me", "user.note", b"n")
    os.utime(lower / "home/me", (5, 5))
    lower.chmod(0o711)
    upper = unpack(tmp_path, entry("home/me/f"), entry("new/dir/f"), lower=lower)
    found = facts(upper)
    assert found["home/me"][1:3] == (0o2750, (1000, 1001))
    assert found["home/me"][7] == (("user.note", b"n"),)
    assert found["new/dir"][1:3] == (0o755, (0, 0))
    assert stat.S_IMODE(upper.stat().st_mode) == 0o711


def test_an_explicit_directory_states_its_own_attributes(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True)
    os.setxattr(lower / "d", "user.note", b"n")
    upper = unpack(tmp_path, entry("d/f"), directory("d", mode=0o700, uid=3, mtime=9), lower=lower)
    assert facts(upper)["d"][:4] == (stat.S_IFDIR, 0o700, (3, 0), 9)
    assert facts(upper)["d"][7] == ()


def test_the_root_entry_gives_the_root_its_attributes(tmp_path: Path) -> None:
    upper = unpack(tmp_path, directory("./", mode=0o750, uid=4, mtime=77), entry("./f"))
    info = upper.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_mtime) == (0o750, 4, 77)


def test_names_through_links_land_where_the_image_has_them(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "usr/lib").mkdir(parents=True)
    (lower / "lib").symlink_to("usr/lib")
    upper = unpack(tmp_path, entry("lib/x.so"), link("abs", "/usr/lib"), entry("abs/y.so"), lower=lower)
    assert sorted(facts(upper)) == ["abs", "usr", "usr/lib", "usr/lib/x.so", "usr/lib/y.so"]


def test_hard_links_within_the_layer(tmp_path: Path) -> None:
    upper = unpack(
        tmp_path,
        entry("a/f", data=b"x"),
        hard_link("b/g", "a/f"),
        hard_link("h", "/a/f"),
        link("l", "zz"),
        hard_link("m", "l"),
    )
    assert (upper / "a/f").stat().st_ino == (upper / "b/g").stat().st_ino == (upper / "h").stat().st_ino
    assert (upper / "m").readlink() == Path("zz")


def test_a_hard_link_to_a_lower_file_copies_it_up(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "bin").mkdir(parents=True)
    (lower / "bin/tool").write_bytes(b"#!" * 1000)
    os.chown(lower / "bin/tool", 9, 9)
    (lower / "bin/tool").chmod(0o4755)
    os.setxattr(lower / "bin/tool", "security.capability", b"\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
    os.utime(lower / "bin/tool", (7, 7))
    before = facts(lower)["bin/tool"]
    upper = unpack(tmp_path, hard_link("alias", "bin/tool"), lower=lower)
    after = facts(upper)
    assert after["bin/tool"][:8] == after["alias"][:8] == before[:8]
    assert (upper / "alias").stat().st_ino == (upper / "bin/tool").stat().st_ino != (lower / "bin/tool").stat().st_ino


def test_later_entries_replace_earlier_ones(tmp_path: Path) -> None:
    upper = unpack(
        tmp_path,
        entry("a", data=b"1"),
        entry("a", data=b"22"),
        directory("d", mtime=3),
        entry("d/x"),
        entry("d", data=b"file"),
        entry("e"),
        directory("e"),
        entry("e/y"),
        link("l", "nowhere"),
        entry("l", data=b"file"),
        directory("k"),
        entry("k/z"),
        directory("k", mode=0o700),
    )
    assert (upper / "a").read_text() == "22"
    assert (upper / "d").read_text() == (upper / "l").read_text() == "file"
    assert (upper / "e/y").exists()
    assert (upper / "k/z").exists()
    assert stat.S_IMODE((upper / "k").stat().st_mode) == 0o700


def test_a_directory_that_replaces_a_whiteout_hides_the_lower_one(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True)
    (lower / "d/old").write_text("")
    upper = unpack(tmp_path, entry(".wh.d"), directory("d"), lower=lower)
    assert opaque(upper / "d")


def test_without_owners_everything_belongs_to_the_caller(tmp_path: Path) -> None:
    work = workspace(tmp_path)
    tar = tar_of(directory("d", uid=5), entry("d/f", uid=5, gid=6), link("d/l", "x"))
    Unpacker(keep_owners=False).unpack(io.BytesIO(tar), "uncompressed", work)
    assert {fact[2] for fact in facts(work.upper).values()} == {(0, 0)}


def test_an_error_of_the_file_system_names_the_entry(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as caught:
        unpack(tmp_path, entry("n" * 256))
    assert caught.value.diagnostic.reference == "image-unpack-failed"
    assert caught.value.diagnostic.cause == "File name too long"
