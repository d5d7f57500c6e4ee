"""The digest of a tree: pinned, as every cache key in every store depends on it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lamina.digest import FramedHash
from lamina.keys.filetree import FileRecord, tree_digest

FILE = FileRecord("a/f", "file", 0o644, 3, "ab" * 32)


def test_the_frames_are_those_of_framed_hash() -> None:
    frames = FramedHash()
    frames.add("a", "dir 755 ")
    frames.add("a/f", "file 644 " + "ab" * 32)
    frames.add("l", "link 777 over/there")
    records = [FileRecord("a", "dir", 0o755), FILE, FileRecord("l", "link", 0o777, target="over/there")]
    assert tree_digest(records) == frames.digest()


def test_owners_count_when_asked() -> None:
    frames = FramedHash()
    frames.add("a/f", "file 644 5:6 " + "ab" * 32)
    owned = replace(FILE, uid=5, gid=6)
    assert tree_digest([owned], owners=True) == frames.digest()
    assert tree_digest([owned]) == tree_digest([FILE])


def test_a_known_value() -> None:
    assert tree_digest([]) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_missing_content_digest_is_a_bug() -> None:
    with pytest.raises(ValueError, match="a/f"):
        tree_digest([replace(FILE, content="")])


def test_names_that_are_not_utf8() -> None:
    assert tree_digest([replace(FILE, path="caf\udce9")]) != tree_digest([replace(FILE, path="caf\udce8")])
    link = FileRecord("l", "link", 0o777, target="caf\udce9")
    assert tree_digest([link]) != tree_digest([replace(link, target="caf")])


def test_an_extended_attribute_cannot_pass_for_a_file() -> None:
    with_attribute = replace(FILE, xattrs=(("user.x", b"file 644 " + b"cd" * 32),))
    for name in ("xattr user.x", "user.x"):
        beside = FileRecord(name, "file", 0o644, 3, "cd" * 32)
        assert tree_digest([FILE, beside]) != tree_digest([with_attribute])


def test_many_records_are_the_same_as_few() -> None:
    """More than one flush of frames."""
    frames = FramedHash()
    records = [FileRecord(f"{number:06}", "dir", 0o755) for number in range(10_000)]
    for record in records:
        frames.add(record.path, "dir 755 ")
    assert tree_digest(iter(records)) == frames.digest()
