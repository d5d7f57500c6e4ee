"""Files shared with the earlier layer of the same copy: only with equal content and attributes, and never through a
link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lamina.image.layerio import Layers
from lamina.keys.filetree import FileRecord, Selection
from lamina.ports.layers import Earlier, Placement
from lamina.ports.storing import Workspace
from lamina.testing.context import MemoryContext

MTIME_NS = 1_000_000_000_000_000_000  # of every file of a MemoryContext


def workspace(folder: Path) -> Workspace:
    for name in ("upper", "work", "scratch"):
        (folder / name).mkdir(parents=True)
    return Workspace((), folder / "upper", folder / "work", folder / "scratch")


def copy(folder: Path, files: dict[str, bytes], earlier: Earlier | None = None) -> Path:
    """COPY . /app/"""
    context = MemoryContext(files)
    records = tuple(context.digested([record.path for record in context.entries()]))
    placement = Placement("/app", True, (Selection("", True, records),), None, "", False, None, earlier)
    work = workspace(folder)
    Layers().place(work, placement, context)
    return work.upper


def contents(files: dict[str, bytes]) -> dict[str, str]:
    return {f"app/{path}": hashlib.sha256(data).hexdigest() for path, data in files.items()}


def test_equal_files_are_shared_and_the_changed_one_is_written(tmp_path: Path) -> None:
    before = {"a.py": b"one", "d/b.py": b"two", "d/c.py": b"three"}
    first = copy(tmp_path / "1", before)
    after = {**before, "d/b.py": b"TWO"}
    second = copy(tmp_path / "2", after, Earlier(first, contents(before)))
    assert {path: (second / "app" / path).read_bytes() for path in after} == after
    shared = {path: (first / "app" / path).samefile(second / "app" / path) for path in after}
    assert shared == {"a.py": True, "d/b.py": False, "d/c.py": True}


@pytest.mark.parametrize("what", ["mode", "mtime", "owner", "size"])
def test_a_file_with_other_attributes_is_written(tmp_path: Path, what: str) -> None:
    files = {"a": b"one"}
    first = copy(tmp_path / "1", files)
    path = first / "app" / "a"
    match what:
        case "mode":
            path.chmod(0o600)
        case "mtime":
            os.utime(path, ns=(MTIME_NS + 1, MTIME_NS + 1))
        case "owner":
            os.chown(path, 1, 1)
        case "size":
            path.write_bytes(b"other")
            os.utime(path, ns=(MTIME_NS, MTIME_NS))
    second = copy(tmp_path / "2", files, Earlier(first, contents(files)))
    assert not path.samefile(second / "app" / "a")
    info = (second / "app" / "a").stat()
    assert (second / "app" / "a").read_bytes() == b"one"
    assert (info.st_mode & 0o777, info.st_mtime_ns, info.st_uid) == (0o644, MTIME_NS, 0)


def test_same_name_size_and_time_with_other_content_is_written(tmp_path: Path) -> None:
    """The content comes from the facts of the record: equal attributes prove nothing."""
    first = copy(tmp_path / "1", {"a": b"one"})
    second = copy(tmp_path / "2", {"a": b"two"}, Earlier(first, contents({"a": b"one"})))
    assert (second / "app" / "a").read_bytes() == b"two"


def test_a_link_in_the_earlier_layer_leads_nowhere(tmp_path: Path) -> None:
    files = {"d/secret": b"of this machine"}
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"of this machine")
    os.utime(outside / "secret", ns=(MTIME_NS, MTIME_NS))
    first = tmp_path / "first"
    (first / "app").mkdir(parents=True)
    (first / "app" / "d").symlink_to(outside)
    second = copy(tmp_path / "2", files, Earlier(first, contents(files)))
    assert not (outside / "secret").samefile(second / "app" / "d" / "secret")


def test_a_file_that_is_gone_from_the_earlier_layer_is_written(tmp_path: Path) -> None:
    files = {"a": b"one"}
    first = copy(tmp_path / "1", files)
    (first / "app" / "a").unlink()
    second = copy(tmp_path / "2", files, Earlier(first, contents(files)))
    assert (second / "app" / "a").read_bytes() == b"one"


def test_records_with_extended_attributes_are_written(tmp_path: Path) -> None:
    record = FileRecord("a", "file", 0o644, 3, hashlib.sha256(b"one").hexdigest(), xattrs=(("user.x", b"1"),))
    first = copy(tmp_path / "1", {"a": b"one"})
    context = MemoryContext({"a": b"one"})
    context.digested(["a"])
    earlier = Earlier(first, contents({"a": b"one"}))
    placement = Placement("/app", True, (Selection("a", False, (record,)),), None, "", False, None, earlier)
    work = workspace(tmp_path / "2")
    Layers().place(work, placement, context)
    assert os.getxattr(work.upper / "app" / "a", "user.x") == b"1"


def test_files_that_were_one_are_two_again(tmp_path: Path) -> None:
    """Hard links of the earlier layer are not brought back where the files only have the same content."""
    files = {"a": b"one", "b": b"one"}
    first = copy(tmp_path / "1", files)
    (first / "app" / "b").unlink()
    os.link(first / "app" / "a", first / "app" / "b")
    second = copy(tmp_path / "2", files, Earlier(first, contents(files)))
    assert (second / "app" / "a").samefile(first / "app" / "a")
    assert not (second / "app" / "a").samefile(second / "app" / "b")
