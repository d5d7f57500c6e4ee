"""`modes = "git"`: two checkouts of a commit have the same records, whatever the umask was."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.context.modes import Modes, git_mode
from lamina.context.reader import DirectoryContext
from lamina.keys.filetree import FileRecord, Kind

HOUR = 3_600_000_000_000
FILES = ("a", "d/b", "d/e/c")
DIRECTORIES = ("d", "d/e")


def future() -> int:
    """A clock at which every file is old enough to be trusted."""
    return time.time_ns() + HOUR


def records(root: Path, modes: Modes, cache: Path | None = None) -> list[FileRecord]:
    with DirectoryContext(root, cache=cache, modes=modes, now=future) as context:
        found = list(context.digested([record.path for record in context.entries()]))
        assert [one.mode for one in found] == [one.mode for one in context.entries()]
        return found


def mode_of(found: list[FileRecord]) -> dict[str, int]:
    return {record.path: record.mode for record in found}


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        ("file", 0o664, 0o644),
        ("file", 0o600, 0o644),
        ("file", 0o400, 0o644),
        ("file", 0o655, 0o644),
        ("file", 0o700, 0o755),
        ("file", 0o100, 0o755),
        ("file", 0o6775, 0o755),
        ("file", 0o1666, 0o644),
        ("dir", 0o700, 0o755),
        ("dir", 0o3777, 0o755),
        ("link", 0o777, 0o777),
        ("fifo", 0o620, 0o644),
    ],
)
def test_what_git_would_keep(kind: Kind, mode: int, expected: int) -> None:
    assert git_mode(kind, mode) == expected


@given(
    umask=st.integers(0, 0o77),
    executable=st.sets(st.sampled_from(FILES)),
    bits=st.dictionaries(st.sampled_from(FILES + DIRECTORIES), st.integers(0, 0o77)),
    special=st.dictionaries(st.sampled_from(FILES + DIRECTORIES), st.sampled_from([0o1000, 0o2000, 0o4000, 0o6000])),
)
@settings(max_examples=60, deadline=None)
def test_umask_and_the_bits_of_others_make_no_difference(
    umask: int, executable: set[str], bits: dict[str, int], special: dict[str, int]
) -> None:
    with TemporaryDirectory() as folder:
        plain, other = Path(folder) / "plain", Path(folder) / "other"
        checkout(plain, 0o022, executable)
        checkout(other, umask, executable)
        for path in bits.keys() | special.keys():
            status = (other / path).stat()
            changed = (stat.S_IMODE(status.st_mode) & ~0o77) | bits.get(path, status.st_mode & 0o77)
            (other / path).chmod(changed | special.get(path, 0))
        assert records(plain, "git") == records(other, "git") == records(plain, "keep")


def checkout(root: Path, umask: int, executable: set[str]) -> None:
    """Write files as git does."""
    before = os.umask(umask)
    try:
        for path in FILES:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            mode = 0o777 if path in executable else 0o666
            with os.fdopen(os.open(root / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
                file.write(path)
        (root / "link").symlink_to("a")
    finally:
        os.umask(before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    checkout(root, 0o002, {"a"})
    return root


def test_keep_keeps(root: Path) -> None:
    (root / "a").chmod(0o6751)
    kept = {"a": 0o6751, "d": 0o775, "d/b": 0o664, "d/e": 0o775, "d/e/c": 0o664, "link": 0o777}
    assert mode_of(records(root, "keep")) == kept


def test_switching_needs_no_reading_and_mixes_nothing_up(root: Path, tmp_path: Path) -> None:
    kept = {"a": 0o775, "d": 0o775, "d/b": 0o664, "d/e": 0o775, "d/e/c": 0o664, "link": 0o777}
    normal = {"a": 0o755, "d": 0o755, "d/b": 0o644, "d/e": 0o755, "d/e/c": 0o644, "link": 0o777}
    cache = tmp_path / "cache"
    assert mode_of(records(root, "git", cache)) == normal
    (file,) = cache.iterdir()
    written = file.stat()
    assert mode_of(records(root, "keep", cache)) == kept
    assert mode_of(records(root, "git", cache)) == normal
    # It is replaced whenever a file had to be read.
    assert os.path.samestat(file.stat(), written)
    assert all(one.content for one in records(root, "git", cache) if one.kind == "file")


def test_a_file_edited_between_scan_and_reading(root: Path) -> None:
    with DirectoryContext(root, modes="git") as context:
        context.entries()
        (root / "a").write_text("edited")
        (root / "a").chmod(0o660)
        (record,) = context.digested(["a"])
    assert (record.mode, record.size) == (0o644, 6)


def test_extended_attributes_stay(root: Path) -> None:
    os.setxattr(root / "a", "user.note", b"1")
    (record,) = (one for one in records(root, "git") if one.path == "a")
    assert record.xattrs == (("user.note", b"1"),)


def test_still_sees_a_change_of_modes(root: Path) -> None:
    with DirectoryContext(root, modes="git") as context:
        context.entries()
        assert context.still(str(root))
        (root / "a").chmod(0o700)
        assert not context.still(str(root))
