"""COPY and ADD of files. What matters is what the kernel shows afterwards, so results are read through a real mount."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest
from tests.support.layer_making import (
    OLD,
    DirectoryReader,
    Tree,
    describe,
    grow,
    merged,
    mounted,
    placement,
    workspace,
)

from lamina.diagnostics import BuildFailure
from lamina.image.layerio import Layers
from lamina.keys.filetree import FileRecord, Selection
from lamina.ports.storing import Workspace
from lamina.testing.context import MemoryContext


class Bench:
    """A context, layers below, and a workspace above them."""

    def __init__(self, tmp_path: Path, context: Tree, *layers: Tree) -> None:
        self.tmp_path = tmp_path
        self.reader = DirectoryReader(grow(tmp_path / "context", context))
        below = [grow(tmp_path / f"layer{number}", tree) for number, tree in enumerate(layers)]
        self.work: Workspace = workspace(tmp_path / "work", *below)

    def copy(
        self,
        dest: str,
        *sources: str,
        owner: tuple[int, int] | None = None,
        chmod: str = "",
    ) -> dict[str, tuple[object, ...]]:
        groups = [self.reader.select(source) for source in sources]
        Layers().place(self.work, placement(dest, *groups, owner=owner, chmod=chmod), self.reader)
        return merged(self.work)

    def copy_from(self, dest: str, *patterns: str, stack: tuple[Path, ...] = ()) -> dict[str, tuple[object, ...]]:
        stack = stack or (self.reader.root,)
        groups = Layers().records(stack, patterns)
        Layers().place(self.work, placement(dest, *groups, source=stack), None)
        return merged(self.work)

    def fails(self, dest: str, *sources: str) -> BuildFailure:
        with pytest.raises(BuildFailure) as caught:
            self.copy(dest, *sources)
        return caught.value


@pytest.mark.parametrize(
    ("dest", "lands"),
    [
        ("/new", "new"),
        ("/new/", "new/f"),
        ("/x/y/z", "x/y/z"),
        ("/x/y/z/", "x/y/z/f"),
        ("/dir", "dir/f"),
        ("/dir/", "dir/f"),
        ("/", "f"),
        ("/old", "old"),
        ("/dirlink", "dir/f"),
        ("/dirlink/g", "dir/g"),
        ("/filelink", "old"),
        ("/dangling", "no/where"),
        ("/dangling/", "no/where/f"),
        ("/up", "dir/f"),
        ("/host", "etc/shadow"),
        ("/dir/../other", "other"),
        ("/../../other", "other"),
    ],
)
def test_where_one_file_lands(tmp_path: Path, dest: str, lands: str) -> None:
    below: Tree = {
        "dir/kept": b"kept",
        "old": b"old",
        "dirlink": "->/dir",
        "filelink": "->old",
        "dangling": "->no/where",
        "up": "->../../../dir",
        "host": "->../../../../etc/shadow",
    }
    bench = Bench(tmp_path, {"f": b"new"}, below)
    host = describe(bench.work.layers[0])
    tree = bench.copy(dest, "f")
    assert tree[lands][3] == b"new"
    assert tree["dir/kept"][3] == b"kept"
    assert stat.S_ISLNK(tree["dirlink"][0])  # type: ignore[arg-type]
    assert describe(bench.work.layers[0]) == host


def test_a_directory_copies_its_contents(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/a": b"1", "src/sub/b": b"2", "src/empty": None, "other": b"no"}, {"keep": b""})
    tree = bench.copy("/app", "src")
    assert {"app", "app/a", "app/sub", "app/sub/b", "app/empty", "keep"} == set(tree)


def test_the_whole_context_into_the_root(tmp_path: Path) -> None:
    tree = Bench(tmp_path, {"a": b"1", "d/b": b"2"}).copy("/", "")
    assert set(tree) == {"a", "d", "d/b"}


def test_several_sources_and_several_steps_merge(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one/s/a": b"1", "two/s/b": b"2", "f": b"3"}, {"app/s/c": b"4"})
    tree = bench.copy("/app/", "one", "two", "f")
    assert {"app/s/a", "app/s/b", "app/s/c", "app/f"} <= set(tree)


def test_a_later_source_replaces_an_earlier_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one/f": b"1", "two/f": b"2"})
    assert bench.copy("/app/", "one", "two")["app/f"][3] == b"2"


def test_a_group_without_matches_does_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {})
    assert bench.copy("/app/") == {}


def test_a_new_destination_is_0755_of_root_whatever_the_source_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/f": b""})
    (tmp_path / "context/src").chmod(0o700)
    assert bench.copy("/x/app", "src")["x/app"][:3] == (stat.S_IFDIR | 0o755, 0, 0)


def test_an_existing_destination_keeps_its_attributes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/f": b""}, {"x/app/old": b""})
    low = tmp_path / "layer0/x/app"
    low.chmod(0o2750)
    os.chown(low, 5, 6)
    os.setxattr(low, "user.note", b"kept")
    tree = bench.copy("/x/app", "src")
    assert tree["x/app"][:3] == (stat.S_IFDIR | 0o2750, 5, 6)
    assert os.getxattr(bench.work.upper / "x/app", "user.note") == b"kept"
    assert tree["x/app/f"][:3] == (stat.S_IFREG | 0o644, 0, 0)


def test_directories_on_the_way_keep_their_times(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"f": b""}, {"usr/local/bin/tool": b"", "usr/local/lib": None})
    bench.copy("/usr/local/bin/", "f")
    with mounted(bench.work) as point:
        assert (point / "usr").stat().st_mtime_ns == OLD
        assert (point / "usr/local").stat().st_mtime_ns == OLD
        assert (point / "usr/local/bin").stat().st_mtime_ns > OLD


def test_nested_directories_take_the_sources_attributes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/sub/f": b""}, {"app/sub/g": b""})
    (tmp_path / "context/src/sub").chmod(0o1777)
    os.chown(tmp_path / "layer0/app/sub", 7, 7)
    tree = bench.copy("/app", "src")
    assert tree["app/sub"][:3] == (stat.S_IFDIR | 0o1777, 0, 0)
    assert "app/sub/g" in tree


def test_times_of_files_links_and_directories_are_the_sources(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/sub/f": b"x", "src/link": "->sub/f"})
    bench.copy("/app/", "src")
    for name in ("sub", "sub/f", "link"):
        assert (bench.work.upper / "app" / name).lstat().st_mtime_ns == OLD


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1644, 0o000, 0o777])
def test_modes_are_kept_to_the_last_bit(tmp_path: Path, mode: int) -> None:
    bench = Bench(tmp_path, {"f": b""})
    (tmp_path / "context/f").chmod(mode)
    assert bench.copy("/f", "f")["f"][0] == stat.S_IFREG | mode
    (tmp_path / "work/upper/f").unlink()
    assert bench.copy("/f", "f", owner=(1, 2))["f"][:3] == (stat.S_IFREG | mode, 1, 2)


def test_chown_and_chmod_reach_files_directories_and_implied_parents(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/sub/f": b"", "src/link": "->x"}, {"old": None})
    tree = bench.copy("/old/new/app/", "src", owner=(10, 20), chmod="2770")
    assert tree["old"][:3] == (stat.S_IFDIR | 0o755, 0, 0)
    for path in ("old/new", "old/new/app", "old/new/app/sub"):
        assert tree[path][:3] == (stat.S_IFDIR | 0o2770, 10, 20)
    assert tree["old/new/app/sub/f"][:3] == (stat.S_IFREG | 0o2770, 10, 20)
    assert tree["old/new/app/link"] == (stat.S_IFLNK | 0o777, 10, 20, "x")


def test_links_in_a_tree_stay_links_and_replace_what_was_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/l": "->/etc/passwd"}, {"app/l": b"file", "etc/passwd": b"root"})
    tree = bench.copy("/app", "src")
    assert tree["app/l"][3] == "/etc/passwd"
    assert tree["etc/passwd"][3] == b"root"


def test_a_file_replaces_a_link_inside_the_destination(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"f": b"new"}, {"app/f": "->/etc/passwd", "etc/passwd": b"root"})
    tree = bench.copy("/app/", "f")
    assert tree["app/f"][3] == b"new"
    assert tree["etc/passwd"][3] == b"root"


@pytest.mark.parametrize(
    ("context", "below", "reference"),
    [
        ({"src/x": b"file"}, {"app/x/y": b""}, "step-copy-over-directory"),
        ({"src/x": "->link"}, {"app/x/y": b""}, "step-copy-over-directory"),
        ({"src/x/y": b"file"}, {"app/x": b""}, "step-copy-not-a-directory"),
        ({"src/x/y": b"file"}, {"app/x": "->/elsewhere", "elsewhere": None}, "step-copy-not-a-directory"),
        ({"src/x": b""}, {"app": b"file"}, "step-copy-not-a-directory"),
        ({"src/x": b""}, {"app": "->app"}, "step-copy-link-loop"),
    ],
)
def test_files_and_directories_never_replace_each_other(
    tmp_path: Path, context: Tree, below: Tree, reference: str
) -> None:
    bench = Bench(tmp_path, context, below)
    diagnostic = bench.fails("/app", "src").diagnostic
    assert diagnostic.reference == reference
    assert diagnostic.hint
    assert "/app" in (diagnostic.cause or "")


def test_the_same_conflicts_within_one_layer(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"one/x": b"", "two/x/y": b""})
    assert bench.fails("/app/", "one", "two").diagnostic.reference == "step-copy-not-a-directory"
    assert Bench(tmp_path / "b", {"one/x": b"", "two/x/y": b""}).fails("/app/", "two", "one").diagnostic.reference == (
        "step-copy-over-directory"
    )


def test_nothing_shines_through_where_a_directory_was_deleted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/new": b""}, {"app": "whiteout"}, {"app/secret": b"deleted"})
    assert set(bench.copy("/app", "src")) == {"app", "app/new"}


def test_a_deleted_directory_in_the_same_workspace_becomes_opaque(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/new": b""}, {"app/secret": b"deleted"})
    os.mknod(bench.work.upper / "app", stat.S_IFCHR, 0)
    assert set(bench.copy("/app", "src")) == {"app", "app/new"}


def test_a_file_takes_the_place_of_a_deleted_directory(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"app": b"file"}, {"app/secret": b"deleted"})
    os.mknod(bench.work.upper / "app", stat.S_IFCHR, 0)
    assert bench.copy("/app", "app")["app"][3] == b"file"


def test_an_opaque_upper_directory_stays_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/x": b"file"}, {"app/x/y": b"hidden"})
    grow(bench.work.upper, {"app": "opaque"})
    tree = bench.copy("/app", "src")
    assert tree["app/x"][3] == b"file"


def test_from_keeps_owners_hard_links_devices_and_attributes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"d/a": b"shared", "d/pipe": "fifo", "d/sub/x": b"y"})
    source = tmp_path / "context/d"
    os.link(source / "a", source / "sub/b")
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (source / "null").chmod(0o666)
    os.chown(source / "a", 33, 44)
    os.chown(source / "sub", 55, 66)
    (source / "a").chmod(0o4711)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(source / "a", "security.capability", capability)
    os.setxattr(source / "sub", "user.mine", b"\x00\xff")
    tree = bench.copy_from("/app", "/d")
    assert tree["app/a"] == (stat.S_IFREG | 0o4711, 33, 44, b"shared")
    assert tree["app/sub"][1:3] == (55, 66)
    assert tree["app/null"] == (stat.S_IFCHR | 0o666, 0, 0, os.makedev(1, 3))
    assert stat.S_ISFIFO(tree["app/pipe"][0])  # type: ignore[arg-type]
    upper = bench.work.upper / "app"
    assert (upper / "a").stat().st_ino == (upper / "sub/b").stat().st_ino
    assert os.getxattr(upper / "a", "security.capability") == capability
    assert os.getxattr(upper / "sub", "user.mine") == b"\x00\xff"
    assert (upper / "sub").stat().st_mtime_ns == (source / "sub").stat().st_mtime_ns


def test_hard_links_survive_a_wildcard_but_not_a_replacement(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"bin/a": b"tool", "other/a": b"replaced"})
    os.link(tmp_path / "context/bin/a", tmp_path / "context/bin/b")
    bench.copy_from("/app/", "/bin/*")
    assert (bench.work.upper / "app/a").stat().st_nlink == 2
    again = Bench(tmp_path / "2", {"bin/a": b"tool", "other/a": b"replaced", "z": None})
    os.link(tmp_path / "2/context/bin/a", tmp_path / "2/context/z/b")
    tree = again.copy_from("/app/", "/bin/a", "/other", "/z/b")
    assert tree["app/a"][3] == b"replaced"
    assert tree["app/b"][3] == b"tool"


def test_from_reads_the_merged_tree_of_its_stack(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {})
    top = grow(tmp_path / "top", {"d/gone": "whiteout", "d/new": b"n", "hidden": "opaque"})
    low = grow(tmp_path / "low", {"d/gone": b"", "d/old": b"o", "hidden/secret": b""})
    assert set(bench.copy_from("/", "/", stack=(top, low))) == {"d", "d/new", "d/old", "hidden"}


def test_marks_of_overlayfs_are_never_copied(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"d/sub/f": b""}, {"app/sub/kept": b""})
    os.setxattr(tmp_path / "context/d/sub", "trusted.overlay.opaque", b"y")
    os.setxattr(tmp_path / "context/d/sub", "user.overlay.opaque", b"y")
    assert "app/sub/kept" in bench.copy_from("/app", "/d")
    assert os.listxattr(bench.work.upper / "app/sub") == []


def test_large_files_keep_their_holes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {})
    with (tmp_path / "context/big").open("wb") as stream:
        stream.write(b"start" * 1000)
        stream.seek(64 << 20)
        stream.write(b"middle")
        stream.truncate(80 << 20)
    bench.copy("/big", "big")
    copied = bench.work.upper / "big"
    assert copied.read_bytes() == (tmp_path / "context/big").read_bytes()
    assert copied.stat().st_blocks * 512 < 1 << 20


def test_large_files_without_a_descriptor_are_streamed(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    context = MemoryContext({"big": data})
    bench = Bench(tmp_path, {})
    selection = Selection("big", False, tuple(context.digested(["big"])))
    Layers().place(bench.work, placement("/", selection), context)
    assert (bench.work.upper / "big").read_bytes() == data


def test_a_followed_link_lands_under_its_own_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"real": b"content", "link": "->real"})
    assert bench.copy_from("/app/", "/link")["app/link"][3] == b"content"


def test_more_directories_than_descriptors(tmp_path: Path) -> None:
    tree = {f"d{number}/a": b"x" for number in range(300)}
    bench = Bench(tmp_path, dict(tree))
    for number in range(300):
        os.link(tmp_path / f"context/d{number}/a", tmp_path / f"context/d{number}/b")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 140, hard))
    try:
        copied = bench.copy_from("/app", "/")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(copied) == 901


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/a/b/c": b"", "src/d": b""}, {"app/d/x": b""})
    before = len(os.listdir("/proc/self/fd"))
    bench.fails("/app", "src")
    assert len(os.listdir("/proc/self/fd")) <= before  # some of an earlier test may have gone


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"big": os.urandom(2 << 20)})
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(bench.work.upper)], check=True)
    try:
        assert bench.fails("/big", "big").diagnostic.reference == "store-full"
    finally:
        subprocess.run(["umount", str(bench.work.upper)], check=True)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    bench = Bench(tmp_path, {f"src/{name}": b"raw"})
    assert bench.copy_from("/app", "/src")[f"app/{name}"][3] == b"raw"


def test_a_device_that_would_delete_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"f": b""}, {"f": b"below"})
    evil = Selection("f", False, (FileRecord("f", "char", 0o600, target="0:0"),))
    with pytest.raises(BuildFailure, match="cannot copy"):
        Layers().place(bench.work, placement("/f", evil), bench.reader)
    assert merged(bench.work)["f"][3] == b"below"


def test_workdir_makes_what_is_missing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {}, {"srv/old": None, "link": "->/srv", "file": b""})
    os.chown(tmp_path / "layer0/srv", 9, 9)
    Layers().make_directory(bench.work, "/link/a/b", (3, 4))
    Layers().make_directory(bench.work, "/srv/old", (3, 4))
    tree = merged(bench.work)
    assert tree["srv"][:3] == (stat.S_IFDIR | 0o755, 9, 9)
    assert tree["srv/a"][:3] == tree["srv/a/b"][:3] == (stat.S_IFDIR | 0o755, 3, 4)
    assert not (bench.work.upper / "srv/old").exists()


@pytest.mark.parametrize(("path", "reference"), [("/f", "not-a-directory"), ("/f/x", "not-a-directory")])
def test_workdir_over_a_file_fails(tmp_path: Path, path: str, reference: str) -> None:
    bench = Bench(tmp_path, {}, {"f": b""})
    with pytest.raises(BuildFailure) as caught:
        Layers().make_directory(bench.work, path, (0, 0))
    assert caught.value.diagnostic.reference == f"step-workdir-{reference}"


@pytest.mark.parametrize(
    ("chmod", "file", "script", "directory", "implied"),
    [
        ("", 0o640, 0o755, 0o2775, 0o755),
        ("751", 0o751, 0o751, 0o751, 0o751),
        ("1777", 0o1777, 0o1777, 0o1777, 0o1777),
        ("u+x,go-w", 0o740, 0o755, 0o2755, 0o755),
        ("a=rX", 0o444, 0o555, 0o2555, 0o755),
        ("go=", 0o600, 0o700, 0o2700, 0o755),
        ("u+s,o+t", 0o5640, 0o5755, 0o7775, 0o755),
    ],
)
def test_chmod(tmp_path: Path, chmod: str, file: int, script: int, directory: int, implied: int) -> None:
    bench = Bench(tmp_path, {"src/d/f": b"", "src/d/script": b"", "src/l": "->d", "src/p": "fifo"})
    for name, mode in (("d", 0o2775), ("d/f", 0o640), ("d/script", 0o755), ("p", 0o640)):
        (tmp_path / "context/src" / name).chmod(mode)
    tree = bench.copy("/new/app/", "src", chmod=chmod)
    assert tree["new/app/d/f"][0] == stat.S_IFREG | file
    assert tree["new/app/d/script"][0] == stat.S_IFREG | script
    assert tree["new/app/p"][0] == stat.S_IFIFO | file
    assert tree["new/app/d"][0] == stat.S_IFDIR | directory
    assert tree["new"][0] == tree["new/app"][0] == stat.S_IFDIR | implied
    assert tree["new/app/l"][0] == stat.S_IFLNK | 0o777
    again = bench.copy("/one/f", "src/d/f", chmod=chmod)
    assert again["one/f"][0] == stat.S_IFREG | file
    assert again["one"][0] == stat.S_IFDIR | implied


def test_chmod_leaves_the_destination_that_exists_and_reaches_those_below(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/d/f": b""}, {"app/d/old": b""})
    tree = bench.copy("/app", "src", chmod="700")
    assert tree["app"][0] == stat.S_IFDIR | 0o755
    assert tree["app/d"][0] == stat.S_IFDIR | 0o700
    assert tree["app/d/old"][0] == stat.S_IFREG | 0o644


def test_the_owner_of_implied_parents(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"f": b""}, {"old": None})
    tree = bench.copy("/old/a/b/f", "f", owner=(3, 4))
    assert tree["old"][1:3] == (0, 0)
    assert tree["old/a"][:3] == tree["old/a/b"][:3] == (stat.S_IFDIR | 0o755, 3, 4)
    assert bench.copy("/other/f", "f")["other"][:3] == (stat.S_IFDIR | 0o755, 0, 0)


def test_attributes_of_context_files_are_copied(tmp_path: Path) -> None:
    """As records have them: those that belong to this machine are left out when they are made, and again here."""
    bench = Bench(tmp_path, {"src/f": b"1"})
    kept = (("security.capability", bytes.fromhex("0100000200040000000000000000000000000000")), ("user.a", b"\x00"))
    foreign = (("trusted.overlay.opaque", b"y"), ("user.overlay.opaque", b"y"))
    (selection,) = [bench.reader.select("src")]
    files = tuple(
        FileRecord(one.path, one.kind, 0o4755, one.size, one.content, xattrs=(*kept[one.kind == "dir" :], *foreign))
        for one in [*selection.files, FileRecord("src/d", "dir", 0o755)]
        if one.path != "src/d"
    )
    Layers().place(bench.work, placement("/app", Selection("src", True, files), owner=(7, 7)), bench.reader)
    path = bench.work.upper / "app/f"
    assert sorted(os.listxattr(path)) == [name for name, _ in kept]
    assert stat.S_IMODE(path.stat().st_mode) == 0o4755
    assert os.listxattr(bench.work.upper / "app") == []


def test_sockets_are_passed_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"src/f": b""})
    os.mknod(tmp_path / "context/src/s", stat.S_IFSOCK | 0o600)
    assert set(bench.copy_from("/app", "/src")) == {"app", "app/f"}
