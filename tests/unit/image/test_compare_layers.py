"""Two layer directories compared: the first thing that differs at each path, and nothing but times forgiven."""

from __future__ import annotations

import os
import random
import resource
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.layer_making import Tree, grow

from lamina.diagnostics import BuildFailure
from lamina.image.compare import Difference, compare
from lamina.image.diff import diff
from lamina.image.layerwalk import LayerWalk
from lamina.image.tarwrite import write_layer

BASE: Tree = {
    "a-b": b"1",
    "a/deep/text": b"one\ntwo\nthree\n",
    "a/empty": b"",
    "bin/tool": b"\x7fELF\x00\x01\x02",
    "gone": "whiteout",
    "link": "->a/deep/text",
    "over": "opaque",
    "pipe": "fifo",
}


def pair(tmp_path: Path, change: Callable[[Path], object]) -> list[Difference]:
    one, other = grow(tmp_path / "one", BASE), grow(tmp_path / "other", BASE)
    change(other)
    found = list(compare(one, other))
    assert bool(found) == (diff(one).files != diff(other).files)
    mirrored = list(compare(other, one))
    assert sorted(each.path for each in mirrored) == sorted(each.path for each in found)
    return found


def one(found: list[Difference]) -> tuple[object, ...]:
    (each,) = found
    return each.path, each.kind, each.before, each.after


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    make(path)


CASES: dict[str, tuple[Callable[[Path], object], tuple[object, ...]]] = {
    "mode": (lambda root: (root / "a/empty").chmod(0o600), ("/a/empty", "mode", "0644", "0600")),
    "mode of a directory": (lambda root: (root / "a").chmod(0o2755), ("/a", "mode", "0755", "2755")),
    "owner": (lambda root: os.chown(root / "a", 3, 4), ("/a", "owner", "0:0", "3:4")),
    "owner of a link": (lambda root: os.lchown(root / "link", 3, 4), ("/link", "owner", "0:0", "3:4")),
    "target": (
        lambda root: replaced(root / "link", lambda path: path.symlink_to("x")),
        ("/link", "target", "a/deep/text", "x"),
    ),
    "attribute": (lambda root: os.setxattr(root / "a-b", "user.x", b"1"), ("/a-b", "xattrs", "", "user.x")),
    "new file": (lambda root: (root / "a/new").write_text(""), ("/a/new", "added", "", "file")),
    "file gone": (lambda root: (root / "a/empty").unlink(), ("/a/empty", "removed", "file", "")),
    "no deletion": (lambda root: (root / "gone").unlink(), ("/gone", "removed", "deletion", "")),
    "another deletion": (lambda root: os.mknod(root / "b", 0o20000), ("/b", "added", "", "deletion")),
    "a directory that hides nothing": (
        lambda root: os.removexattr(root / "over", "trusted.overlay.opaque"),
        ("/over", "type", "replacement", "directory"),
    ),
    "a link in place of a file": (
        lambda root: replaced(root / "a-b", lambda path: path.symlink_to("/etc")),
        ("/a-b", "type", "file", "link"),
    ),
    "a directory in place of a file": (
        lambda root: replaced(root / "a-b", Path.mkdir),
        ("/a-b", "type", "file", "directory"),
    ),
    "a link in place of a directory": (
        lambda root: replaced(root / "over", lambda path: path.symlink_to("/etc")),
        ("/over", "type", "directory", "link"),
    ),
    "a hard link in place of a copy": (
        lambda root: replaced(root / "a/empty", lambda path: os.link(root / "a-b", path)),
        ("/a/empty", "type", "file", "hard link"),
    ),
    "a device": (
        lambda root: replaced(root / "pipe", lambda path: os.mknod(path, 0o20644, os.makedev(1, 3))),
        ("/pipe", "type", "pipe", "character device"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_change_is_told_as_what_it_is(tmp_path: Path, name: str) -> None:
    change, expected = CASES[name]
    assert one(pair(tmp_path, change)) == expected


def test_times_and_sockets_do_not_count(tmp_path: Path) -> None:
    def touch(root: Path) -> None:
        os.utime(root / "a/deep/text", (5, 5))
        os.utime(root / "a", (6, 6))
        with socket.socket(socket.AF_UNIX) as listening:
            before = os.getcwd()
            os.chdir(root)  # the path of a socket must be short
            listening.bind("socket")
            os.chdir(before)

    assert pair(tmp_path, touch) == []


@pytest.mark.parametrize(
    ("path", "content", "line", "offset"),
    [
        ("a/deep/text", b"one\nTWO\nthree\n", 2, 4),
        ("a/deep/text", b"one\ntwo\nthree", 3, 13),
        ("a/deep/text", b"one\ntwo\nthree\nfour\n", 4, 14),
        ("a/deep/text", b"", 1, 0),
        ("a/empty", b"x", 1, 0),
        ("bin/tool", b"\x7fELF\x00\x01\x03", None, 6),
        ("a/deep/text", b"one\ntwo\nthree\n\x00", None, 14),
    ],
)
def test_where_a_content_begins_to_differ(
    tmp_path: Path, path: str, content: bytes, line: int | None, offset: int
) -> None:
    (found,) = pair(tmp_path, lambda root: (root / path).write_bytes(content))
    assert (found.kind, found.line, found.offset) == ("content", line, offset)


def test_a_large_file_that_differs_far_behind(tmp_path: Path) -> None:
    text = b"a line\n" * 400_000
    changed = bytearray(text)
    changed[2_500_000] ^= 1
    one, other = grow(tmp_path / "one", {"f": text}), grow(tmp_path / "other", {"f": bytes(changed)})
    (found,) = compare(one, other)
    assert (found.offset, found.line) == (2_500_000, 2_500_000 // 7 + 1)


def test_what_a_removed_directory_held_is_told_too(tmp_path: Path) -> None:
    found = pair(tmp_path, lambda root: shutil.rmtree(root / "a"))
    assert [each.path for each in found] == ["/a", "/a/deep", "/a/deep/text", "/a/empty"]


def test_no_link_is_followed(tmp_path: Path) -> None:
    """What was a directory is a link now: what lies where it leads is not looked at."""
    outside = grow(tmp_path / "outside", {"deep/text": b"secret", "empty": b""})
    found = pair(tmp_path, lambda root: replaced(root / "a", lambda path: path.symlink_to(outside)))
    assert [(each.path, each.kind) for each in found] == [
        ("/a", "type"),
        ("/a/deep", "removed"),
        ("/a/deep/text", "removed"),
        ("/a/empty", "removed"),
    ]


def test_a_layer_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as caught:
        list(compare(tmp_path / "none", tmp_path))
    assert caught.value.diagnostic.reference == "image-layer-unreadable"


def test_the_order_is_that_of_the_tar_and_everything_is_closed(tmp_path: Path) -> None:
    layer = grow(tmp_path / "layer", BASE)
    before = len(os.listdir("/proc/self/fd"))
    with LayerWalk(layer, "trusted") as walk:
        orders = [entry.order for entry in walk.entries()]
    assert orders == sorted(orders)
    with LayerWalk(layer, "trusted") as walk:
        next(iter(walk.entries()))
    assert len(os.listdir("/proc/self/fd")) <= before  # some of an earlier test may have gone


@pytest.mark.parametrize("seed", range(30))
def test_no_difference_exactly_if_the_timeless_digests_are_equal(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    roots = [tmp_path / name for name in ("one", "other")]
    for root in roots:
        root.mkdir()
    for number in range(12):
        name = chance.choice(("a", "b", "a/x", "a/y", "b/a", "c-d", "c/e", "c"))
        kinds = [chance.randrange(7)] * 2 if number % 6 else [chance.randrange(7), chance.randrange(7)]
        for root, kind in zip(roots, kinds, strict=True):
            put(root, name, kind)
    found = list(compare(roots[0], roots[1]))
    assert bool(found) == (diff(roots[0]).files != diff(roots[1]).files)
    assert len({each.path for each in found}) == len(found)


def put(root: Path, name: str, kind: int) -> None:
    path = root / name
    if path.exists() or path.is_symlink() or not path.parent.is_dir() or path.parent.is_symlink():
        return
    if kind < 2:
        path.mkdir()
    elif kind < 4:
        path.write_bytes(b"%d" % kind)
    elif kind == 4:
        path.symlink_to("a")
    elif kind == 5:
        os.mknod(path, 0o20000)
    else:
        first = next((each for each in sorted(root.rglob("*")) if each.is_file() and not each.is_symlink()), None)
        path.write_bytes(b"") if first is None else os.link(first, path)


def test_many_files_take_no_memory(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "other")]
    for root in roots:
        for folder in range(20):
            (root / str(folder)).mkdir(parents=True)
            for number in range(300):
                os.mknod(root / str(folder) / f"file-{number}", 0o100644)
    write_layer(roots[0], lambda data: None)  # what a walk of the same files takes anyway
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert list(compare(roots[0], roots[1])) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB
