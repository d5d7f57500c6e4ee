"""Digests, racy files, edits during a build: `DirectoryContext` on real files. `future` is a clock at which every file
of a test is old enough to be trusted."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.context.reader import DirectoryContext
from lamina.context.statcache import StatCache
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord

HOUR = 3_600_000_000_000
CHANGED = "while the build was reading the context"


def future() -> int:
    return time.time_ns() + HOUR


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ctx"
    (root / "d").mkdir(parents=True)
    (root / "d/file").write_bytes(b"one")
    (root / "top").write_bytes(b"two")
    (root / "link").symlink_to("top")
    return root


def digest(root: Path, path: str, cache: Path | None = None, now: Callable[[], int] = future) -> FileRecord:
    with DirectoryContext(root, cache=cache, now=now) as context:
        (record,) = context.digested([path])
        return record


def restore_times(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def remembered(root: Path, cache: Path, now: Callable[[], int] = future) -> list[str]:
    """The files that the next build would not read."""
    with DirectoryContext(root) as context:
        found = StatCache(cache, os.path.realpath(root), now()).matching(
            context.scanned.records, context.scanned.identities
        )
        return [record.path for record in found]


def test_records_come_in_the_order_asked(root: Path) -> None:
    with DirectoryContext(root) as context:
        found = context.digested(["top", "link", "d", "d/file"])
    assert [(record.path, record.content) for record in found] == [
        ("top", sha(b"two")),
        ("link", ""),
        ("d", ""),
        ("d/file", sha(b"one")),
    ]
    assert found[1].target == "top"


def test_entries_stay_without_content(root: Path) -> None:
    with DirectoryContext(root) as context:
        before = context.entries()
        context.digested([record.path for record in before])
        assert context.entries() == before
        assert not any(record.content for record in before)


@pytest.mark.parametrize("size", [0, 1, 4095, 1 << 20, (1 << 20) + 1, (3 << 20) + 7])
def test_any_size(root: Path, size: int) -> None:
    data = os.urandom(size)
    (root / "top").write_bytes(data)
    record = digest(root, "top")
    assert (record.content, record.size) == (sha(data), size)


def test_unknown_path(root: Path) -> None:
    with DirectoryContext(root) as context, pytest.raises(KeyError):
        context.digested(["nope"])


def test_extended_attributes_belong_to_the_file(root: Path, tmp_path: Path) -> None:
    os.setxattr(root / "top", "user.b", b"2")
    os.setxattr(root / "top", "user.a", b"\0")
    os.setxattr(root / "top", "trusted.hidden", b"no")
    expected = (("user.a", b"\0"), ("user.b", b"2"))
    assert digest(root, "top", tmp_path / "cache").xattrs == expected
    assert digest(root, "top", tmp_path / "cache").xattrs == expected


def test_mtime(root: Path) -> None:
    os.utime(root / "top", ns=(5, 123_456_789_000_000_001))
    with DirectoryContext(root) as context:
        assert context.mtime_ns("top") == 123_456_789_000_000_001


def test_each_file_is_read_once_a_build(root: Path) -> None:
    with DirectoryContext(root) as context:
        first = context.digested(["top"])
        (root / "top").unlink()
        assert context.digested(["top"]) == first


# --- the stat cache ---------------------------------------------------------------------------------------------------
def test_an_untouched_file_is_not_read_again(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with DirectoryContext(root, cache=cache, now=future) as context:
        first = context.digested(["d/file", "top"])
    with DirectoryContext(root, cache=cache, now=lambda: future() + HOUR) as context:
        assert context.digested(["d/file", "top"]) == first
        context.entries()
        (root / "top").unlink()
        assert context.digested(["top"]) == [first[1]]


def test_a_mode_change_shows_without_a_cache_hit(root: Path, tmp_path: Path) -> None:
    before = digest(root, "top", tmp_path)
    (root / "top").chmod(0o755)
    after = digest(root, "top", tmp_path)
    assert (before.mode, after.mode) == (0o644, 0o755)
    assert after.content == before.content


def test_same_size_and_restored_mtime_are_caught_by_ctime(root: Path, tmp_path: Path) -> None:
    digest(root, "top", tmp_path)
    status = (root / "top").stat()
    (root / "top").write_bytes(b"TWO")
    restore_times(root / "top", status)
    assert (root / "top").stat().st_mtime_ns == status.st_mtime_ns
    assert digest(root, "top", tmp_path).content == sha(b"TWO")


def test_a_file_swapped_for_its_twin_is_caught_by_inode(root: Path, tmp_path: Path) -> None:
    (root / "twin").write_bytes(b"2wo")
    status = (root / "top").stat()
    digest(root, "top", tmp_path)
    restore_times(root / "twin", status)
    (root / "twin").rename(root / "top")
    assert digest(root, "top", tmp_path).content == sha(b"2wo")


def test_a_young_file_is_racy_and_not_remembered(root: Path, tmp_path: Path) -> None:
    digest(root, "top", tmp_path / "cache", now=time.time_ns)
    assert not (tmp_path / "cache").exists()


def test_a_young_mtime_or_ctime_is_enough(root: Path, tmp_path: Path) -> None:
    os.utime(root / "top", ns=(0, time.time_ns() - HOUR))
    digest(root, "top", tmp_path / "cache", now=time.time_ns)
    os.utime(root / "d/file", ns=(0, time.time_ns() + 2 * HOUR))
    digest(root, "d/file", tmp_path / "cache", now=future)
    assert not (tmp_path / "cache").exists()


def test_real_time_makes_a_file_trusted(root: Path, tmp_path: Path) -> None:
    time.sleep(2.1)
    digest(root, "top", tmp_path / "cache", now=time.time_ns)
    assert remembered(root, tmp_path / "cache", now=time.time_ns) == ["top"]


def test_an_edit_in_the_tick_of_the_cache_write(root: Path, tmp_path: Path) -> None:
    """What git calls racy: the edit leaves size, inode and times alone because the clock has not ticked in between."""
    for content in (b"aaa", b"bbb", b"ccc", b"ddd"):
        (root / "top").write_bytes(content)
        assert digest(root, "top", tmp_path, now=time.time_ns).content == sha(content)


def test_a_clock_that_went_back_trusts_nothing(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    digest(root, "top", cache)
    assert remembered(root, cache) == ["top"]
    assert remembered(root, cache, now=lambda: future() - HOUR // 2) == []


def test_another_copy_of_the_context_is_read(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    digest(root, "top", cache)
    copy = tmp_path / "elsewhere/ctx"
    shutil.copytree(root, copy, symlinks=True)
    (copy / "top").write_bytes(b"2nd")
    assert digest(copy, "top", cache).content == sha(b"2nd")
    assert len(list(cache.iterdir())) == 2


def test_several_calls_add_to_the_cache(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with DirectoryContext(root, cache=cache, now=future) as context:
        context.digested(["top"])
        context.digested(["d/file"])
    (root / "new").write_bytes(b"new")
    assert remembered(root, cache) == ["d/file", "top"]
    digest(root, "new", cache)
    assert remembered(root, cache) == ["d/file", "new", "top"]


# --- open: what is read is what was digested --------------------------------------------------------------------------
@pytest.mark.parametrize("now", [time.time_ns, future], ids=["racy", "settled"])
class TestOpen:
    def test_reads_the_bytes(self, root: Path, now: Callable[[], int]) -> None:
        with DirectoryContext(root, now=now) as context:
            (record,) = context.digested(["d/file"])
            with context.open(record) as file:
                assert file.read() == b"one"
            with context.open(record) as file:
                assert [file.read(2), file.read(2), file.read(2)] == [b"on", b"e", b""]
            with context.open(record) as file:
                buffer = bytearray(10)
                assert file.readinto(buffer) == 3  # type: ignore[attr-defined]
                assert buffer[:3] == b"one"

    def test_edited_before_opening(self, root: Path, now: Callable[[], int]) -> None:
        with DirectoryContext(root, now=now) as context:
            (record,) = context.digested(["top"])
            status = (root / "top").stat()
            (root / "top").write_bytes(b"TWO")
            restore_times(root / "top", status)
            with pytest.raises(BuildFailure, match=CHANGED), context.open(record) as file:
                file.read()

    def test_edited_while_reading(self, root: Path, now: Callable[[], int]) -> None:
        (root / "top").write_bytes(b"x" * 100_000)
        with DirectoryContext(root, now=now) as context:
            (record,) = context.digested(["top"])
            file = context.open(record)
            file.read(10)
            with (root / "top").open("r+b") as writer:
                writer.write(b"y" * 100_000)
            file.read()
            with pytest.raises(BuildFailure, match=CHANGED):
                file.close()
            assert file.closed

    def test_removed(self, root: Path, now: Callable[[], int]) -> None:
        with DirectoryContext(root, now=now) as context:
            (record,) = context.digested(["top"])
            (root / "top").unlink()
            with pytest.raises(BuildFailure, match=CHANGED):
                context.open(record)

    def test_a_record_of_other_content(self, root: Path, now: Callable[[], int]) -> None:
        with DirectoryContext(root, now=now) as context:
            context.digested(["top"])
            with pytest.raises(BuildFailure, match=CHANGED):
                context.open(FileRecord("top", "file", 0o644, 3, sha(b"xyz")))


def test_racy_content_is_compared_even_if_the_identity_is_the_same(root: Path) -> None:
    """Without waiting for two writes in one tick: a file never digested here is checked against its record."""
    with DirectoryContext(root) as context:
        file = context.open(FileRecord("top", "file", 0o644, 3, sha(b"TWO")))
        file.read(1)
        with pytest.raises(BuildFailure, match=CHANGED):
            file.close()
        with context.open(FileRecord("top", "file", 0o644, 3, sha(b"two"))) as file:
            assert not file.seekable()
            with pytest.raises(OSError, match="racy"):
                file.fileno()


def test_an_edit_between_scan_and_digest_is_simply_the_newest_version(root: Path) -> None:
    with DirectoryContext(root, now=future) as context:
        context.entries()
        (root / "top").write_bytes(b"longer than it was")
        (root / "top").chmod(0o600)
        (record,) = context.digested(["top"])
        assert (record.content, record.mode, record.size) == (sha(b"longer than it was"), 0o600, 18)
        with context.open(record) as file:
            assert file.read() == b"longer than it was"


def test_open_files_outlive_the_context(root: Path) -> None:
    with DirectoryContext(root, now=future) as context:
        (record,) = context.digested(["top"])
        file = context.open(record)
    assert file.read() == b"two"
    file.close()
