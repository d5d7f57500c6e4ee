from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.support.layer_making import Tree, grow

from lamina.image.rootfs import Rootfs


def stack(tmp_path: Path, *trees: Tree) -> Rootfs:
    """A stack of these layers, topmost first, with a file outside that nothing may reach."""
    (tmp_path / "secret").write_bytes(b"outside")
    return Rootfs([grow(tmp_path / f"layer{number}", tree) for number, tree in enumerate(trees)])


def content(rootfs: Rootfs, path: str) -> bytes | None:
    node = rootfs.walk(path).node
    if node is None or not node.is_file:
        return None
    with rootfs.open(node) as stream:
        return stream.read()


def test_the_topmost_file_wins(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"a/f": b"top"}, {"a/f": b"bottom", "a/g": b"below"})
    assert content(rootfs, "/a/f") == b"top"
    assert content(rootfs, "a/g") == b"below"
    assert rootfs.listing(rootfs.walk("a").node.dirs) == {"f": False, "g": False}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("top", "gone", "kept"),
    [
        ({"a/f": "whiteout"}, ["a/f"], ["a/g", "b"]),
        ({"a": "whiteout"}, ["a", "a/f", "a/g"], ["b"]),
        ({"a": "opaque"}, ["a/f", "a/g"], ["a", "b"]),
        ({"a": b"a file now"}, [], ["a", "b"]),
        ({"a": "->b"}, [], ["a", "b"]),
    ],
)
def test_what_a_layer_hides(tmp_path: Path, top: Tree, gone: list[str], kept: list[str]) -> None:
    rootfs = stack(tmp_path, top, {"a/f": b"1", "a/g": b"2", "b": b"3"})
    assert [path for path in gone if rootfs.walk(path).node] == []
    assert [path for path in kept if rootfs.walk(path).node is None] == []


def test_a_whiteout_in_the_middle_hides_what_is_below_it_only(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"a/new": b"n"}, {"a": "whiteout"}, {"a/old": b"o"})
    assert content(rootfs, "a/new") == b"n"
    assert rootfs.walk("a/old").node is None


def test_a_file_in_the_middle_ends_a_directory(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"a/new": b"n"}, {"a": b"file"}, {"a/old": b"o"})
    assert rootfs.listing(rootfs.walk("a").node.dirs) == {"new": False}  # type: ignore[union-attr]


def test_whiteouts_as_attributes_need_a_marked_directory(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"a/f": b"", "b/f": b"", "a/h": b""}, {"a/f": b"1", "b/f": b"1", "a/g": b"2"})
    for path in ("a/f", "b/f"):
        os.setxattr(tmp_path / "layer0" / path, "trusted.overlay.whiteout", b"")
    os.setxattr(tmp_path / "layer0/a", "trusted.overlay.opaque", b"x")
    assert rootfs.walk("a/f").node is None
    assert content(rootfs, "b/f") == b""
    assert content(rootfs, "a/g") == b"2"
    assert rootfs.listing(rootfs.walk("a").node.dirs) == {"g": False, "h": False}  # type: ignore[union-attr]


def test_the_namespace_of_marks_is_the_one_that_was_given(tmp_path: Path) -> None:
    for name in ("top", "low"):
        grow(tmp_path / name, {"a": None, f"a/{name}": b""})
    os.setxattr(tmp_path / "top/a", "user.overlay.opaque", b"y")
    layers = [tmp_path / "top", tmp_path / "low"]
    assert Rootfs(layers, "trusted").walk("a/low").node is not None
    assert Rootfs(layers, "user").walk("a/low").node is None


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("link", "real/f"),
        ("absolute", "real/f"),
        ("up", "real/f"),
        ("chain", "real/f"),
        ("dirlink/f", "real/f"),
        ("dirlink/../real/f", "real/f"),
        ("../../../../real/f", "real/f"),
        ("real/./f", "real/f"),
        ("//real//f", "real/f"),
        ("", ""),
        ("/", ""),
        ("real/..", ""),
        ("dangling", "no/such/place"),
        ("no/such/../thing", "no/thing"),
        ("escape/secret", "secret"),
    ],
)
def test_links_lead_where_a_chrooted_process_would_go(tmp_path: Path, path: str, leads_to: str) -> None:
    tree: Tree = {
        "real/f": b"here",
        "link": "->real/f",
        "absolute": "->/real/f",
        "up": "->../../../../real/f",
        "chain": "->link",
        "dirlink": "->/real/",
        "dangling": "->no/such/place",
        "escape": "->../..",
    }
    found = stack(tmp_path, tree).walk(path)
    assert found.path == leads_to
    assert (found.node is not None) == (leads_to in ("", "real/f"))


def test_the_last_link_is_kept_if_asked(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"d/f": b"", "dirlink": "->d", "link": "->d/f"})
    assert rootfs.walk("link", follow=False).path == "link"
    assert rootfs.walk("dirlink/f", follow=False).path == "d/f"


def test_a_walk_within_a_directory_never_leaves_it(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"app/abs": "->/etc", "app/up": "->../../etc", "etc/passwd": b"x", "app/etc": None})
    for path in ("abs/passwd", "up/passwd", "../etc/passwd", "/etc/passwd"):
        found = rootfs.walk(path, within="app")
        assert found.path == "app/etc/passwd"
        assert found.node is None


def test_rings_of_links_end(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"a": "->b", "b": "->a", "self": "->self/x"})
    for path in ("a", "self", "a/b/c"):
        with pytest.raises(OSError) as caught:
            rootfs.walk(path)
        assert caught.value.errno == errno.ELOOP


def test_forty_links_are_followed_and_no_more(tmp_path: Path) -> None:
    links = {f"l{number}": f"->l{number + 1}" for number in range(41)}
    rootfs = stack(tmp_path, {**links, "l41": b"end"})
    assert rootfs.walk("l1").path == "l41"
    with pytest.raises(OSError, match="symbolic links"):
        rootfs.walk("l0")


def test_a_file_is_no_way(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"a/f": b""})
    for path in ("a/f/x", "a/f/../f"):
        with pytest.raises(NotADirectoryError) as caught:
            rootfs.walk(path)
        assert caught.value.filename == "/a/f"


def test_a_layer_whose_directory_is_a_link_below_merges_nothing(tmp_path: Path) -> None:
    outside = grow(tmp_path / "outside", {"f": b"outside"})
    rootfs = stack(tmp_path, {"d/own": b""}, {"d": f"->{outside}"})
    assert rootfs.walk("d/f").node is None


def test_names_that_are_no_text(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {os.fsdecode(b"d/\xff\xfe"): b"raw"})
    assert content(rootfs, os.fsdecode(b"d/\xff\xfe")) == b"raw"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    rootfs = stack(tmp_path, {"pipe": "fifo", "link": "->pipe"})
    node = rootfs.walk("pipe").node
    assert node is not None
    with pytest.raises(OSError, match="not a regular file"):
        rootfs.open(node)
