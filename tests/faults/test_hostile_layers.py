"""Layers from somebody who means harm, or from a broken disk: refused or harmless, and nothing outside is touched."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard
from tests.support.layer_trees import directory, entry, facts, hard_link, link, tar_of, workspace

from lamina.diagnostics import BuildFailure
from lamina.image.unpack import Unpacker
from lamina.ports.layers import Limits

Entry = tuple[tarfile.TarInfo, bytes]
GOOD = tar_of(directory("d"), entry("d/f", data=b"content" * 500), link("l", "d/f"))


def attack(tmp_path: Path, data: bytes, compression: str = "uncompressed", limits: Limits | None = None) -> str:
    """Unpack beside a file to protect; returns the refusal's reference, or an empty text."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    lower = tmp_path / "lower"
    (lower / "etc").mkdir(parents=True)
    (lower / "etc/passwd").write_text("root")
    (lower / "escape").symlink_to("../../outside")
    (lower / "absolute").symlink_to(outside)
    (lower / "loop").symlink_to("loop")
    before = facts(outside), facts(lower)
    work = workspace(tmp_path / "in", lower)
    reference = ""
    try:
        Unpacker(limits=limits).unpack(io.BytesIO(data), compression, work)
    except BuildFailure as failure:
        reference = failure.diagnostic.reference
    assert (facts(outside), facts(lower)) == before
    assert sorted(os.listdir(tmp_path)) == ["in", "lower", "outside"]
    assert sorted(os.listdir(tmp_path / "in")) == ["scratch", "upper", "work"]
    return reference


UNSAFE: dict[str, list[Entry]] = {
    "upwards": [entry("../outside/secret", data=b"evil")],
    "upwards from inside": [entry("etc/../../outside/secret", data=b"evil")],
    "upwards that would end inside": [entry("etc/../passwd", data=b"evil")],
    "dots alone": [directory("..")],
    "hard link upwards": [hard_link("stolen", "../outside/secret")],
    "hard link to a directory": [directory("d"), hard_link("again", "d")],
    "device of a whiteout": [entry("etc/passwd", tarfile.CHRTYPE, devmajor=0, devminor=0)],
    "whiteout of dot": [entry("etc/.wh..")],
    "whiteout of dot dot": [entry("etc/.wh...")],
    "whiteout of nothing": [entry("etc/.wh.")],
    "below a whiteout": [entry("etc/.wh.x/y")],
    "below an opaque marker": [entry("etc/.wh..wh..opq/y")],
    "whiteout as directory": [directory("etc/.wh.passwd")],
    "root as a link": [link("./", "/")],
    "root as a file": [entry("/", tarfile.LNKTYPE, linkname="etc/passwd")],
    "below a file": [entry("f"), entry("f/g")],
    "below a lower file": [entry("etc/passwd/g")],
    "too deep": [entry("d/" * 500 + "f")],
}


@pytest.mark.parametrize("case", UNSAFE)
def test_unsafe_entries_are_refused(tmp_path: Path, case: str) -> None:
    assert attack(tmp_path, tar_of(*UNSAFE[case])) == "image-unsafe-layer"


INSIDE: dict[str, tuple[list[Entry], str]] = {
    "absolute name": ([entry("/outside/secret", data=b"x")], "outside/secret"),
    "many slashes": ([entry("///outside//./secret", data=b"x")], "outside/secret"),
    "through an absolute link": ([link("a", "/outside"), directory("outside"), entry("a/secret")], "outside/secret"),
    "through a link upwards": ([link("a", "../../../outside"), entry("a/secret")], "outside/secret"),
    "through a link to itself's parent": ([link("d/a", ".."), entry("d/a/secret")], "secret"),
    "through a lower link upwards": ([entry("escape/secret")], "outside/secret"),
    "over a link": ([link("a", "../../outside/secret"), entry("a", data=b"x")], "a"),
    "over a hard link": ([entry("a", data=b"1"), hard_link("b", "a"), entry("b", data=b"2")], "b"),
    "directory over a link": ([link("a", "../../outside"), directory("a"), entry("a/secret")], "a/secret"),
    "hard link to a link": ([link("a", "../../outside/secret"), hard_link("b", "a")], "b"),
    "hard link to itself": ([entry("a"), hard_link("a", "a")], "a"),
    "link moved under a known directory": (
        [directory("d"), entry("d/1"), link("d", "../../outside"), entry("d/secret")],
        "outside/secret",
    ),
    "whiteout through a link": ([link("a", "../../outside"), entry("a/.wh.secret")], "outside/secret"),
    "opaque through a link": ([link("a", "../../outside"), entry("a/.wh..wh..opq")], "outside"),
}


@pytest.mark.parametrize("case", INSIDE)
def test_everything_else_stays_inside(tmp_path: Path, case: str) -> None:
    entries, path = INSIDE[case]
    assert attack(tmp_path, tar_of(*entries)) == ""
    assert path in facts(tmp_path / "in" / "upper")


def test_a_link_chain_without_end(tmp_path: Path) -> None:
    assert attack(tmp_path, tar_of(entry("loop/f"))) == "image-unpack-failed"


@pytest.mark.parametrize("target", ["missing", "d/missing", "f/g", ""])
def test_hard_links_to_nowhere(tmp_path: Path, target: str) -> None:
    reference = attack(tmp_path, tar_of(directory("d"), entry("f"), hard_link("h", target)))
    assert reference == ("image-bad-tar" if target else "image-unsafe-layer")


def test_a_hard_link_cannot_copy_a_whiteout(tmp_path: Path) -> None:
    data = tar_of(entry(".wh.x"), hard_link("etc/passwd", "x"))
    assert attack(tmp_path, data) == "image-bad-tar"


@pytest.mark.parametrize("name", ["trusted.overlay.opaque", "user.overlay.opaque", "trusted.overlay.redirect"])
def test_overlay_marks_as_attributes_have_no_effect(tmp_path: Path, name: str) -> None:
    headers = {f"SCHILY.xattr.{name}": "y"}
    assert attack(tmp_path, tar_of(directory("etc", pax_headers=headers), entry("f", pax_headers=headers))) == ""
    assert os.listxattr(tmp_path / "in/upper/etc") == os.listxattr(tmp_path / "in/upper/f") == []


def header(name: bytes = b"f", **patches: bytes) -> bytes:
    """A block whose fields were overwritten, with the right checksum."""
    places = {"size": 124, "kind": 156, "uid": 108, "mode": 100, "mtime": 136, "major": 329}
    block = bytearray(tar_of(entry(name.decode()))[:512])
    for field, value in patches.items():
        block[places[field] : places[field] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(body: bytes, kind: bytes = b"x") -> bytes:
    return header(kind=kind, size=b"%011o\0" % len(body)) + body + bytes(-len(body) % 512) + GOOD


BAD_TARS: dict[str, bytes] = {
    "no tar": b"<html>404 not found</html>" * 100,
    "wrong checksum": GOOD[:148] + b"000000\0 " + GOOD[156:],
    "wrong checksum later": GOOD[:512] + GOOD[512:520] + b"X" + GOOD[521:],
    "ends in a header": GOOD[:700],
    "ends in a file": GOOD[:1500],
    "ends in the padding": GOOD[: 1024 + 3500 + 10],
    "zeros between entries": GOOD[:512] + bytes(512) + GOOD[512:],
    "negative size": header(size=b"\xff" * 12),
    "size that is no number": header(size=b"12345678xyz\0"),
    "size with a sign": header(size=b"-0000000001\0"),
    "size with an underscore": header(size=b"0000000_001\0"),
    "size of eight exabytes": header(size=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7),
    "owner -1": header(uid=b"\x80\0\0\0\xff\xff\xff\xff"),
    "time out of range": header(mtime=b"\x80" + b"\x7f" * 11),
    "device out of range": header(kind=b"3", major=b"7777777\0"),
    "extended header too long": header(kind=b"x", size=b"%011o\0" % (2 << 20)),
    "long name too long": header(kind=b"L", size=b"77777777777\0"),
    "extended header without length": pax(b"path=x\n"),
    "extended header that runs over": pax(b"99 path=x\n"),
    "extended header of length zero": pax(b"0 path=x\n"),
    "extended header with a huge length": pax(b"99999999999999999999 path=x\n"),
    "extended header without newline": pax(b"8 path=xx"),
    "zero byte in a name": pax(b"12 path=a\0b\n"),
    "size record that is no number": pax(b"11 size=1e\n\n"),
    "negative owner record": pax(b"10 uid=-1\n"),
    "time record that is no number": pax(b"13 mtime=nan\n"),
    "extended header at the end": header(kind=b"x", size=b"%011o\0" % 12) + b"12 path=abc\n".ljust(512, b"\0"),
}


@pytest.mark.parametrize("case", BAD_TARS)
def test_damaged_tars(tmp_path: Path, case: str) -> None:
    assert attack(tmp_path, BAD_TARS[case]) == "image-bad-tar"


@pytest.mark.parametrize("kind", [b"S", b"D", b"V", b"M", b"Z"])
def test_kinds_that_layers_do_not_have(tmp_path: Path, kind: bytes) -> None:
    assert attack(tmp_path, header(kind=kind) + bytes(1024)) == "image-unsupported-entry"


def test_sparse_files_are_refused_rather_than_misread(tmp_path: Path) -> None:
    assert attack(tmp_path, pax(b"22 GNU.sparse.major=1\n")) == "image-unsupported-entry"


COMPRESSED = {"gzip": gzip.compress(GOOD), "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(GOOD)}


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize(
    "damage",
    ["truncated by one", "cut in half", "empty", "garbage behind", "one bit", "another format", "zeros behind"],
)
def test_damaged_compression(tmp_path: Path, compression: str, damage: str) -> None:
    good = COMPRESSED[compression]
    data = {
        "truncated by one": good[:-1],
        "cut in half": good[: len(good) // 2],
        "empty": b"",
        "garbage behind": good + b"and something else",
        "one bit": good[:-6] + bytes([good[-6] ^ 1]) + good[-5:],
        "another format": GOOD,
        "zeros behind": good + bytes(600),
    }[damage]
    assert attack(tmp_path, data, compression) == "image-bad-compression"


def test_undamaged_compression_is_taken_also_in_several_members(tmp_path: Path) -> None:
    parts = gzip.compress(GOOD[:700]) + gzip.compress(b"") + gzip.compress(GOOD[700:])
    assert attack(tmp_path, parts, "gzip") == ""


def test_several_zstd_frames_and_skippable_ones(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor()
    skipped = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    assert attack(tmp_path, packer.compress(GOOD[:700]) + packer.compress(GOOD[700:]) + skipped, "zstd") == ""


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_bombs_stop_at_the_limit(tmp_path: Path, compression: str) -> None:
    zeros = bytes(64 << 20)
    bomb = gzip.compress(zeros, 9) if compression == "gzip" else zstandard.ZstdCompressor().compress(zeros)
    assert len(bomb) < 100_000
    head = header(size=b"%011o\0" % len(zeros))
    packed_head = gzip.compress(head) if compression == "gzip" else zstandard.ZstdCompressor().compress(head)
    assert attack(tmp_path, packed_head + bomb, compression, Limits(max_layer_bytes=8 << 20)) == "image-too-large"
    assert (tmp_path / "in/upper/f").stat().st_size <= 8 << 20


def test_too_many_entries(tmp_path: Path) -> None:
    data = tar_of(*(entry(f"{number}") for number in range(50)))
    assert attack(tmp_path, data, limits=Limits(max_layer_entries=20)) == "image-too-large"
    assert len(facts(tmp_path / "in/upper")) == 20


def test_devices_stay_devices(tmp_path: Path) -> None:
    assert attack(tmp_path, tar_of(entry("b", tarfile.BLKTYPE), entry("c", tarfile.CHRTYPE, devmajor=1))) == ""
    assert stat.S_ISBLK((tmp_path / "in/upper/b").lstat().st_mode)
