"""The stat cache's file: damage, strangers, growth. What it is for is tested through `DirectoryContext`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from lamina.context import identity
from lamina.context.statcache import StatCache
from lamina.keys.filetree import FileRecord

ROOT = "/somewhere/context"
NOW = 10**18
CONTENT = "ab" * 32


def mark(number: int) -> bytes:
    return number.to_bytes(identity.SIZE, "big")


def record(path: str) -> FileRecord:
    return FileRecord(path, "file", 0o644)


def fill(folder: Path, *paths: str) -> Path:
    cache = StatCache(folder, ROOT, NOW)
    for number, path in enumerate(paths):
        cache.remember(path, mark(number), CONTENT, (("user.n", b"\0"),) if number == 0 else ())
    cache.save([record(path) for path in sorted(paths)], NOW)
    (file,) = folder.iterdir()
    return file


def known(folder: Path, directory: str = ROOT, now: int = NOW, *paths: str) -> list[str]:
    wanted = paths or ("a", "b")
    marks = [mark(number) for number in range(len(wanted))]
    cache = StatCache(folder, directory, now)
    return [found.path for found in cache.matching([record(path) for path in wanted], marks)]


def test_round_trip(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b\udce9")
    cache = StatCache(tmp_path, ROOT, NOW)
    first, second = cache.matching([record("a"), record("aa"), record("b\udce9")], [mark(0), mark(9), mark(1)])
    assert (first.content, first.xattrs) == (CONTENT, (("user.n", b"\0"),))
    assert (second.path, second.content, second.xattrs) == ("b\udce9", CONTENT, ())


def test_another_identity_does_not_match(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    cache = StatCache(tmp_path, ROOT, NOW)
    assert [found.path for found in cache.matching([record("a"), record("b")], [mark(7), mark(1)])] == ["b"]


def test_another_kind_does_not_match(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    link = FileRecord("a", "link", 0o777, target="b")
    assert list(StatCache(tmp_path, ROOT, NOW).matching([link], [mark(0)])) == []


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    file = fill(tmp_path, "a")
    before = file.stat().st_ino
    StatCache(tmp_path, ROOT, NOW).save([record("a")], NOW)
    assert file.stat().st_ino == before


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    file = fill(tmp_path, "a", "b")
    whole = file.read_bytes()
    for position in range(len(whole)):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert known(tmp_path) == [], position
    file.write_bytes(whole)
    assert known(tmp_path) == ["a", "b"]


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    file = fill(tmp_path, "a", "b")
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert known(tmp_path) == [], length


@pytest.mark.parametrize(
    "columns",
    [
        (ROOT.encode(), 0, b"a\0b", mark(0), bytes(64), {}),
        (ROOT.encode(), 0, b"a\0b", mark(0) + mark(1), bytes(63), {}),
        (ROOT.encode(), 0, b"", mark(0), b"", {}),
        (ROOT.encode(), 0, b"a\0b", mark(0) + mark(1), bytes(64), {0: (("a", "text"),)}),
        (ROOT.encode(), NOW + 1, b"a\0b", mark(0) + mark(1), bytes(64), {}),
        (b"/else/where", 0, b"a\0b", mark(0) + mark(1), bytes(64), {}),
        (ROOT.encode(), "then", b"a\0b", mark(0) + mark(1), bytes(64), {}),
        (ROOT.encode(),),
        {"directory": ROOT.encode()},
        None,
    ],
)
def test_well_formed_files_that_make_no_sense(tmp_path: Path, columns: object) -> None:
    file = fill(tmp_path, "a", "b")
    head = file.read_bytes()[:20]
    payload = msgspec.msgpack.encode(columns)
    file.write_bytes(head + hashlib.sha256(payload).digest() + payload)
    assert known(tmp_path) == []


def test_a_well_formed_file_of_an_enemy_only_misses(tmp_path: Path) -> None:
    """Unsorted paths, rows without a path and attributes of no row are odd, but nothing breaks."""
    file = fill(tmp_path, "a", "b")
    payload = msgspec.msgpack.encode((ROOT.encode(), 0, b"b\0a\0", mark(1) + mark(0) + mark(2), bytes(96), {99: ()}))
    file.write_bytes(file.read_bytes()[:20] + hashlib.sha256(payload).digest() + payload)
    assert known(tmp_path) == ["b"]


def test_strangers_files_are_ignored(tmp_path: Path) -> None:
    file = fill(tmp_path, "a", "b")
    file.chmod(0o666)
    assert known(tmp_path) == []
    file.chmod(0o600)
    os.chown(file, 4711, 4711)
    assert known(tmp_path) == []
    os.chown(file, 0, 0)
    assert known(tmp_path) == ["a", "b"]
    file.rename(tmp_path / "moved")
    file.symlink_to("moved")
    assert known(tmp_path) == []
    file.unlink()
    os.mkfifo(file, 0o600)
    assert known(tmp_path) == []


def test_another_directory_has_another_file(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    assert known(tmp_path, "/somewhere/else") == []


def test_files_that_this_build_does_not_see_are_kept(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    cache = StatCache(tmp_path, ROOT, NOW)
    cache.remember("c", mark(2), CONTENT, ())
    cache.save([record("c")], NOW)
    assert known(tmp_path, ROOT, NOW, "a", "b", "c") == ["a", "b", "c"]


def test_but_not_for_ever(tmp_path: Path) -> None:
    fill(tmp_path, *[f"gone-{number:05}" for number in range(10_001)])
    cache = StatCache(tmp_path, ROOT, NOW)
    cache.remember("c", mark(0), CONTENT, ())
    cache.save([record("c")], NOW)
    assert known(tmp_path, ROOT, NOW, "c", "gone-00001") == ["c"]


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    cache = StatCache(tmp_path / "folder", ROOT, NOW)
    cache.remember("a", mark(0), CONTENT, ())
    cache.save([record("a")], NOW)
    assert [found.path for found in cache.matching([record("a")], [mark(0)])] == ["a"]


def test_leftovers_of_killed_builds_go(tmp_path: Path) -> None:
    file = fill(tmp_path, "a")
    old, young = tmp_path / f"{file.name}.1.1.tmp", tmp_path / f"{file.name}.1.2.tmp"
    old.write_text("half")
    young.write_text("another build is writing")
    os.utime(old, (0, 0))
    cache = StatCache(tmp_path, ROOT, NOW)
    cache.remember("b", mark(1), CONTENT, ())
    cache.save([record("a"), record("b")], NOW)
    assert sorted(tmp_path.iterdir()) == sorted([file, young])
    assert known(tmp_path) == ["a", "b"]
