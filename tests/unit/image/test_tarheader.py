"""Header blocks: read back by Python's tarfile, and bytes where the form matters."""

from __future__ import annotations

import io
import tarfile

import pytest

from lamina.image.tarheader import DIRECTORY, END, FILE, SYMLINK, entry_blocks


def read(blocks: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(blocks + END), errorlevel=2) as archive:
        member = archive.next()
    assert member is not None
    return member


def test_a_plain_entry_is_one_ustar_block() -> None:
    full, timeless = entry_blocks(b"etc/passwd", FILE, 0o4755, 7, 8, 9, 1_700_000_000)
    assert len(full) == len(timeless) == 512
    assert full[257:265] == b"ustar\x0000"
    assert full[265:329] == bytes(64), "user and group names stay empty"
    member = read(full)
    assert (member.name, member.mode, member.uid, member.gid, member.size) == ("etc/passwd", 0o4755, 7, 8, 9)
    assert member.mtime == 1_700_000_000
    assert not member.pax_headers


def test_timeless_blocks_do_not_depend_on_the_time() -> None:
    versions = [entry_blocks(b"a", FILE, 0o644, 0, 0, 3, time) for time in (0, 1, 1_700_000_000, -5, 1 << 40)]
    assert len({timeless for _, timeless in versions}) == 1
    assert len({full for full, _ in versions}) == len(versions)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        (b"a" * 100, 1),
        (b"a" * 101, 3),
        (b"d" * 155 + b"/" + b"f" * 100, 1),
        (b"d" * 156 + b"/" + b"f" * 100, 3),
        (b"d" * 99 + b"/", 1),
        (b"d" * 120 + b"/", 3),
        (b"p" * 50 + b"/" + b"d" * 99 + b"/", 1),
        ("schön".encode(), 3),
        (b"\xff\xfe", 3),
        (b"x/" * 200 + b"end", 3),
        (b"n" * 255, 3),
        (b"/".join([b"n" * 250] * 4), 4),
    ],
)
def test_names_use_pax_only_where_ustar_is_too_small(name: bytes, blocks: int) -> None:
    kind = DIRECTORY if name.endswith(b"/") else FILE
    full, _ = entry_blocks(name, kind, 0o755, 0, 0, 0, 0)
    assert len(full) == blocks * 512
    assert read(full).name.encode("utf-8", "surrogateescape") == name.rstrip(b"/")


@pytest.mark.parametrize("target", [b"short", b"t" * 100, b"t" * 101, b"\xff", "ü".encode() * 300])
def test_link_targets(target: bytes) -> None:
    member = read(entry_blocks(b"l", SYMLINK, 0o777, 0, 0, 0, 0, target)[0])
    assert member.issym()
    assert member.linkname.encode("utf-8", "surrogateescape") == target


@pytest.mark.parametrize(
    ("uid", "size", "mtime"),
    [
        (0o7777777, 0o77777777777, 0o77777777777),
        (0o10000000, 0, 0),
        (4294967294, 0, 0),
        (0, 8 << 30, 0),
        (0, 1 << 45, 0),
        (0, 0, -1),
        (0, 0, 1 << 33),
    ],
)
def test_large_numbers(uid: int, size: int, mtime: int) -> None:
    member = read(entry_blocks(b"f", FILE, 0o644, uid, uid, size, mtime)[0])
    assert (member.uid, member.gid, member.size, member.mtime) == (uid, uid, size, mtime)


def test_xattrs_hold_any_bytes_and_are_sorted() -> None:
    xattrs = [(b"user.z", b"\0\xff\n"), (b"user.a", b""), (b"security.capability", b"\1" * 20)]
    full, _ = entry_blocks(b"f", FILE, 0o644, 0, 0, 0, 0, xattrs=xattrs)
    assert full == entry_blocks(b"f", FILE, 0o644, 0, 0, 0, 0, xattrs=xattrs[::-1])[0]
    body = full[512:1024]
    assert b" SCHILY.xattr.user.z=\0\xff\n\n" in body
    assert body.index(b"security") < body.index(b"user.a") < body.index(b"user.z")


def test_an_xattr_name_that_pax_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        entry_blocks(b"f", FILE, 0o644, 0, 0, 0, 0, xattrs=[(b"user.a=b", b"")])


@pytest.mark.parametrize("length", range(1, 130))
def test_record_lengths_count_themselves(length: int) -> None:
    full, _ = entry_blocks(b"f", FILE, 0o644, 0, 0, 0, 0, xattrs=[(b"user.k", b"v" * length)])
    assert read(full).pax_headers["SCHILY.xattr.user.k"] == "v" * length


def test_the_checksum_of_the_fullest_header() -> None:
    name = b"\x7f" * 155 + b"/" + b"\x7f" * 100
    full, _ = entry_blocks(
        name, SYMLINK, 0o7777, 0o7777777, 0o7777777, 0, 0o77777777777, b"\x7f" * 100, (4095, 1 << 20)
    )
    assert int(full[148:154], 8) == sum(full[:148]) + sum(full[156:]) + 8 * 32
