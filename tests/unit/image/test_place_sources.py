"""Where the files of a COPY or ADD come from and what several placements make of one layer: stages, plain directories
of downloads and heredocs, narrowed selections, and layers that stand on nothing (--link)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.support.layer_making import (
    OLD,
    DirectoryReader,
    Tree,
    describe,
    grow,
    merged,
    placement,
    workspace,
)

from lamina.diagnostics import BuildFailure
from lamina.image.layerio import Layers
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.select import select
from lamina.ports.storing import Workspace

PLAIN: Tree = {"repo/run.sh": b"#!", "repo/docs/a.md": b"a", "repo/link": "->docs", "file.txt": b"text"}


def records(root: Path) -> list[FileRecord]:
    """What a fetcher says of a directory: root's, with modes of its own."""
    read = DirectoryReader(root).entries()
    modes = {"dir": 0o755, "link": 0o777, "file": 0o644}
    return [
        FileRecord(
            one.path,
            one.kind,
            0o755 if one.path.endswith(".sh") else modes[one.kind],
            one.size,
            one.content,
            one.target,
        )
        for one in read
    ]


class Plain:
    """A directory on disk that is no layer, with other owners and modes than its records say."""

    def __init__(self, tmp_path: Path, *layers: Tree) -> None:
        self.root = grow(tmp_path / "plain", PLAIN)
        self.records = records(self.root)
        for above, dirs, files in os.walk(self.root):
            for name in [*dirs, *files]:
                path = Path(above, name)
                os.chown(path, 1234, 1234, follow_symlinks=False)
                if not path.is_symlink():
                    path.chmod(0o700)
        below = [grow(tmp_path / f"layer{number}", tree) for number, tree in enumerate(layers)]
        self.work: Workspace = workspace(tmp_path / "work", *below)

    def add(self, dest: str, source: str, *, chmod: str = "", unpack: bool = False) -> dict[str, tuple[object, ...]]:
        groups = select(self.records, source)
        where = placement(dest, *groups, chmod=chmod, unpack=unpack, source=(self.root,))
        Layers().place(self.work, where, None)
        return merged(self.work)


def test_a_plain_directory_gives_content_and_times_and_its_records_all_else(tmp_path: Path) -> None:
    plain = Plain(tmp_path)
    tree = plain.add("/srv/app/", "repo")
    assert tree["srv/app/run.sh"] == (stat.S_IFREG | 0o755, 0, 0, b"#!")
    assert tree["srv/app/docs"][:3] == (stat.S_IFDIR | 0o755, 0, 0)
    assert tree["srv/app/docs/a.md"] == (stat.S_IFREG | 0o644, 0, 0, b"a")
    assert tree["srv/app/link"] == (stat.S_IFLNK | 0o777, 0, 0, "docs")
    for name in ("run.sh", "docs", "docs/a.md", "link"):
        assert (plain.work.upper / "srv/app" / name).lstat().st_mtime_ns == OLD


def test_a_single_file_of_a_plain_directory(tmp_path: Path) -> None:
    plain = Plain(tmp_path, {"etc": None, "opt/link": "->/etc"})
    assert plain.add("/etc", "file.txt")["etc/file.txt"] == (stat.S_IFREG | 0o644, 0, 0, b"text")
    assert plain.add("/opt/link/new", "file.txt", chmod="600")["etc/new"][0] == stat.S_IFREG | 0o600


def test_what_is_no_archive_is_copied_although_it_was_to_be_unpacked(tmp_path: Path) -> None:
    assert Plain(tmp_path).add("/d/", "file.txt", unpack=True)["d/file.txt"][3] == b"text"


def test_no_record_leads_out_of_a_plain_directory(tmp_path: Path) -> None:
    grow(tmp_path / "outside", {"secret": b"of this machine"})
    plain = Plain(tmp_path)
    (plain.root / "out").symlink_to(tmp_path / "outside")
    (plain.root / "leaf").symlink_to(tmp_path / "outside/secret")
    for path in ("out/secret", "leaf", "../outside/secret", "missing"):
        evil = FileRecord(path, "file", 0o644, 15, "0" * 64)
        for selection in (Selection(path, False, (evil,)), Selection("", True, (evil,))):
            with pytest.raises(BuildFailure, match="cannot copy"):
                Layers().place(plain.work, placement("/f", selection, source=(plain.root,)), None)
    assert not [path for path, what in describe(tmp_path / "work").items() if what[3] == b"of this machine"]
    assert not (tmp_path / "work/outside").exists()


def test_several_placements_make_one_layer(tmp_path: Path) -> None:
    """ADD of a context's directory, an archive's neighbour, a download and a heredoc, one call each."""
    context = DirectoryReader(grow(tmp_path / "context", {"src/lib/a": b"1", "src/lib/b": b"2"}))
    plain = Plain(tmp_path, {"app/old": b"", "etc/conf": b"low"})
    os.chown(tmp_path / "layer0/app", 5, 6)
    Layers().place(plain.work, placement("/app/new/", context.select("src")), context)
    plain.add("/app/new/", "repo")
    tree = plain.add("/app/new/", "file.txt")
    assert {path for path in tree if path.startswith("app/new/")} == {
        "app/new/lib",
        "app/new/lib/a",
        "app/new/lib/b",
        "app/new/run.sh",
        "app/new/docs",
        "app/new/docs/a.md",
        "app/new/link",
        "app/new/file.txt",
    }
    assert tree["app"][:3] == (stat.S_IFDIR | 0o755, 5, 6)
    assert (plain.work.upper / "app/new/lib").stat().st_mtime_ns == OLD
    # What an earlier call made is there for the next: a directory is gone into, a link followed, a file replaced.
    assert plain.add("/app/new/lib", "file.txt")["app/new/lib/file.txt"][3] == b"text"
    assert plain.add("/app/new/link", "file.txt")["app/new/docs/file.txt"][3] == b"text"
    assert plain.add("/app/new/lib/a", "file.txt")["app/new/lib/a"][3] == b"text"
    with pytest.raises(BuildFailure, match="cannot copy"):
        plain.add("/app/new/lib/a/x", "file.txt")


def test_a_layer_on_nothing_has_all_its_parents(tmp_path: Path) -> None:
    plain = Plain(tmp_path)
    assert not plain.work.layers
    plain.add("/usr/lib/app/", "repo", chmod="go-rwx")
    tree = describe(plain.work.upper)
    assert tree["usr"][:3] == tree["usr/lib"][:3] == tree["usr/lib/app"][:3] == (stat.S_IFDIR | 0o755, 0, 0)
    assert tree["usr/lib/app/run.sh"][0] == stat.S_IFREG | 0o700


@pytest.mark.parametrize("base", [{}, {"usr": "->/opt", "opt/kept": b""}, {"usr/lib/other": b""}, {"usr": b"file"}])
def test_a_layer_on_nothing_is_the_same_on_every_base(tmp_path: Path, base: Tree) -> None:
    """As BuildKit's --link: what stands in the way on the base is no error, and no link is followed."""
    plain = Plain(tmp_path)
    plain.add("/usr/lib/", "file.txt")
    above = workspace(tmp_path / "above", plain.work.upper, grow(tmp_path / "base", base))
    tree = merged(above)
    assert tree["usr"][:3] == (stat.S_IFDIR | 0o755, 0, 0)
    assert tree["usr/lib/file.txt"][3] == b"text"
    assert ("usr/lib/other" in tree) == ("usr/lib/other" in base)
    assert ("opt/kept" in tree) == ("opt/kept" in base)
    assert "opt/lib" not in tree


STAGE: Tree = {
    "app/a.py": b"a",
    "app/sub/b.py": b"b",
    "app/sub/c.md": b"c",
    "app/x/y/d.py": b"d",
    "lib": "->app",
    "z.py": b"z",
}


def copied(tmp_path: Path, dest: str, *sources: str, parents: bool = False, exclude: tuple[str, ...] = ()) -> set[str]:
    layer = grow(tmp_path / "stage", STAGE)
    os.chown(layer / "app/sub", 7, 8)
    (layer / "app/sub").chmod(0o2750)
    work = workspace(tmp_path / "work")
    groups = Layers().records((layer,), sources, parents=parents, exclude=exclude)
    Layers().place(work, placement(dest, *groups, source=(layer,)), None)
    return set(merged(work))


@pytest.mark.parametrize(
    ("source", "lands"),
    [
        ("/app/sub/b.py", {"to", "to/app", "to/app/sub", "to/app/sub/b.py"}),
        ("/app/./sub/b.py", {"to", "to/sub", "to/sub/b.py"}),
        ("/lib/./x", {"to", "to/x", "to/x/y", "to/x/y/d.py"}),
        ("/app/**/*.md", {"to", "to/app", "to/app/sub", "to/app/sub/c.md"}),
        ("*.py", {"to", "to/z.py"}),
        ("/app/./*/y", {"to", "to/x", "to/x/y", "to/x/y/d.py"}),
        ("lib", {"to", "to/lib"}),
        ("*.nothing", set()),
    ],
)
def test_parents_are_kept(tmp_path: Path, source: str, lands: set[str]) -> None:
    assert copied(tmp_path, "/to", source, parents=True) == lands


def test_kept_parents_have_the_sources_attributes(tmp_path: Path) -> None:
    copied(tmp_path, "/to", "/app/sub/*.md", parents=True)
    info = (tmp_path / "work/upper/to/app/sub").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns) == (0o2750, 7, 8, OLD)


@pytest.mark.parametrize("source", ["/app/sub/none", "/none/./a", "/app/a.py/./x", "/app/./a.py/x"])
def test_a_literal_that_names_nothing_fails_with_parents_too(tmp_path: Path, source: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        copied(tmp_path, "/to", source, parents=True)
    assert caught.value.diagnostic.reference == "step-copy-source-missing"


@pytest.mark.parametrize(
    ("source", "exclude", "lands"),
    [
        ("/app", ("*.py",), {"to", "to/sub", "to/sub/b.py", "to/sub/c.md", "to/x", "to/x/y", "to/x/y/d.py"}),
        ("/app", ("**/*.py",), {"to", "to/sub", "to/sub/c.md", "to/x", "to/x/y"}),
        ("/app", ("sub", "x"), {"to", "to/a.py"}),
        ("/app", ("sub", "!sub/c.md", "x"), {"to", "to/a.py", "to/sub", "to/sub/c.md"}),
        ("/app", ("*",), {"to"}),
        ("/z.py", ("*.py",), set()),
    ],
)
def test_exclusions(tmp_path: Path, source: str, exclude: tuple[str, ...], lands: set[str]) -> None:
    assert copied(tmp_path, "/to", source, exclude=exclude) == lands


def test_both(tmp_path: Path) -> None:
    found = copied(tmp_path, "/to", "/./app", "/z.py", parents=True, exclude=("**/*.py", "!z.py"))
    assert found == {"to", "to/app", "to/app/sub", "to/app/sub/c.md", "to/app/x", "to/app/x/y", "to/z.py"}
