"""A copy that keeps the times of an earlier layer: what has not changed is as old as it was there, however new the
checkout is, and nothing but times is taken from there without the facts."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from lamina.context.reader import DirectoryContext
from lamina.image.layerio import Layers
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.looks import Look
from lamina.keys.select import select
from lamina.ports.layers import Earlier, Placement
from lamina.ports.storing import Workspace

OLD_NS = 1_000_000_000_000_000_000
NEW_NS = 1_500_000_000_000_000_000


def checkout(folder: Path, files: Mapping[str, str], mtime_ns: int) -> Path:
    """Files (`-> x`: a link; a path that ends in a slash: a directory), all with one time."""
    folder.mkdir()
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            place.mkdir()
        elif text.startswith("-> "):
            place.symlink_to(text[3:])
        else:
            place.write_text(text)
    for place in folder.rglob("*"):
        os.utime(place, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
    return folder


class Builder:
    """COPYs above a lower layer that has `srv/old`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.lower = folder / "lower"
        (self.lower / "srv/old").mkdir(parents=True)

    def copy(
        self,
        context: Path,
        sources: Sequence[str] = (".",),
        dest: str = "/app/",
        *,
        owner: tuple[int, int] | None = None,
        chmod: str = "",
        parents: bool = False,
        before: Path | None = None,
        contents: Mapping[str, str] | None = None,
        change: Callable[[FileRecord], FileRecord] = lambda record: record,
    ) -> Path:
        """The layer of a COPY, with the times of the layer `before`, whose files have these contents."""
        self._number += 1
        place = self._folder / f"work{self._number}"
        for name in ("upper", "work", "scratch"):
            (place / name).mkdir(parents=True)
        work = Workspace((self.lower,), place / "upper", place / "work", place / "scratch")
        earlier = None
        if before is not None:
            earlier = Earlier(before, dict(contents_of(before) if contents is None else contents), True)
        with DirectoryContext(context) as reader:
            groups = tuple(
                Selection(one.base, one.is_dir, tuple(map(change, reader.digested([file.path for file in one.files]))))
                for source in sources
                for one in select(reader.entries(), source, parents=parents)
            )
            placement = Placement(dest.rstrip("/"), dest.endswith("/"), groups, owner, chmod, False, None, earlier)
            Layers().place(work, placement, reader)
        return work.upper


def contents_of(layer: Path) -> dict[str, str]:
    return {
        str(path.relative_to(layer)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in layer.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def times(layer: Path) -> dict[str, int]:
    return {str(path.relative_to(layer)): path.lstat().st_mtime_ns for path in (layer, *layer.rglob("*"))}


FILES = {"a": "one", "d/b": "two", "d/e/c": "three", "d/link": "-> b", "empty/": ""}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def old(tmp_path: Path) -> Path:
    return checkout(tmp_path / "old", FILES, OLD_NS)


def test_a_fresh_checkout_gives_the_same_layer_by_links(tmp_path: Path, builder: Builder) -> None:
    first = builder.copy(old(tmp_path))
    second = builder.copy(checkout(tmp_path / "new", FILES, NEW_NS), before=first)
    assert times(second) == times(first)
    assert all((first / path).samefile(second / path) for path in ("app/a", "app/d/b", "app/d/e/c"))
    assert os.readlink(second / "app/d/link") == "b"
    assert Layers().diff(second).diff_id == Layers().diff(first).diff_id
    looks = sorted(Look(path, "entry") for path in ("", *times(first)))
    assert Layers().answers(first, looks, {}) == Layers().answers(second, looks, {})


def test_without_times_a_fresh_checkout_is_a_new_layer(tmp_path: Path, builder: Builder) -> None:
    first = builder.copy(old(tmp_path))
    second = builder.copy(checkout(tmp_path / "new", FILES, NEW_NS))
    assert times(second)["app/a"] == NEW_NS
    assert Layers().diff(second).diff_id != Layers().diff(first).diff_id


def test_what_changed_is_new_and_the_rest_as_old_as_it_was(tmp_path: Path, builder: Builder) -> None:
    first = builder.copy(old(tmp_path))
    files = {**FILES, "d/b": "TWO", "d/new": "new", "d/link": "-> new", "other/": ""}
    second = builder.copy(checkout(tmp_path / "new", files, NEW_NS), before=first)
    now, then = times(second), times(first)
    fresh = {path for path in now if now[path] != then.get(path)}
    assert fresh == {"app/d/b", "app/d/new", "app/d/link", "app/other"}
    assert {now[path] for path in fresh} == {NEW_NS}
    assert (second / "app/d/b").read_text() == "TWO"


def test_the_same_twice_over_is_the_same(tmp_path: Path, builder: Builder) -> None:
    first = builder.copy(old(tmp_path))
    new = checkout(tmp_path / "new", {**FILES, "d/b": "TWO"}, NEW_NS)
    made = [Layers().diff(builder.copy(new, before=first)).diff_id for _ in range(2)]
    assert made[0] == made[1]


def test_times_pass_from_layer_to_layer(tmp_path: Path, builder: Builder) -> None:
    layer = builder.copy(old(tmp_path))
    for number in range(3):
        files = {**FILES, f"new{number}": "new"}
        layer = builder.copy(checkout(tmp_path / f"{number}", files, NEW_NS + number), before=layer)
    assert times(layer)["app/d/b"] == times(layer)["app/d"] == OLD_NS


def test_the_same_attributes_prove_nothing(tmp_path: Path, builder: Builder) -> None:
    """Content comes from the facts alone: a file of the same size, mode and owner that they do not know, or know as
    another, is written anew with its own time."""
    first = builder.copy(old(tmp_path))
    new = checkout(tmp_path / "new", {**FILES, "a": "ONE"}, NEW_NS)
    for contents in ({}, contents_of(first)):
        second = builder.copy(new, before=first, contents=contents)
        assert (second / "app/a").read_text() == "ONE"
        assert times(second)["app/a"] == NEW_NS


@pytest.mark.parametrize("what", ["mode", "chmod", "owner", "kind"])
def test_other_attributes_are_a_change(tmp_path: Path, builder: Builder, what: str) -> None:
    first = builder.copy(old(tmp_path))
    new = checkout(tmp_path / "new", FILES, NEW_NS)
    match what:
        case "mode":
            (new / "a").chmod(0o600)
            (new / "d").chmod(0o700)
            second = builder.copy(new, before=first)
            fresh = {"app/a", "app/d"}
        case "chmod":
            second = builder.copy(new, before=first, chmod="g+w")
            fresh = {"app/a", "app/d", "app/d/b", "app/d/e", "app/d/e/c", "app/empty"}
        case "owner":
            second = builder.copy(new, before=first, owner=(7, 7))
            fresh = {"app/a", "app/d", "app/d/b", "app/d/e", "app/d/e/c", "app/empty", "app/d/link"}
        case _:
            (new / "a").unlink()
            (new / "a").symlink_to("one")
            os.utime(new / "a", ns=(NEW_NS, NEW_NS), follow_symlinks=False)
            second = builder.copy(new, before=first)
            fresh = {"app/a"}
    found = {path for path, time in times(second).items() if time == NEW_NS}
    assert found == fresh
    assert Layers().diff(second).diff_id != Layers().diff(first).diff_id


@pytest.mark.parametrize(
    ("sources", "dest"),
    [
        (("a",), "/x/renamed"),
        (("a",), "/x/"),
        (("a", "d/b"), "/srv/old/"),
        (("d", "empty"), "/srv/old"),
        (("d/*",), "/deep/er/"),
    ],
)
def test_implied_directories_and_other_names(
    tmp_path: Path, builder: Builder, sources: tuple[str, ...], dest: str
) -> None:
    first = builder.copy(old(tmp_path), sources, dest)
    new = checkout(tmp_path / "new", FILES, NEW_NS)
    second = builder.copy(new, sources, dest, before=first)
    assert times(second) == times(first)
    assert Layers().diff(second).diff_id == Layers().diff(first).diff_id


def test_parents(tmp_path: Path, builder: Builder) -> None:
    first = builder.copy(old(tmp_path), ("d/e/c", "a"), "/p/", parents=True)
    second = builder.copy(checkout(tmp_path / "new", FILES, NEW_NS), ("d/e/c", "a"), "/p/", parents=True, before=first)
    assert times(second) == times(first)
    assert "p/d/e/c" in times(second)


def test_another_destination_shares_nothing(tmp_path: Path, builder: Builder) -> None:
    first = builder.copy(old(tmp_path))
    second = builder.copy(checkout(tmp_path / "new", FILES, NEW_NS), dest="/b/", before=first)
    assert times(second)["b/a"] == NEW_NS


def test_a_link_on_the_way_in_the_earlier_layer_leads_nowhere(tmp_path: Path, builder: Builder) -> None:
    outside = builder.copy(old(tmp_path))
    first = tmp_path / "first"
    first.mkdir()
    (first / "app").symlink_to(outside / "app")
    second = builder.copy(checkout(tmp_path / "new", FILES, NEW_NS), before=first, contents=contents_of(outside))
    assert times(second)["app/a"] == NEW_NS
    assert not (outside / "app/a").samefile(second / "app/a")


def test_files_that_were_one_are_two_and_both_as_old(tmp_path: Path, builder: Builder) -> None:
    files = {"a": "one", "b": "one"}
    first = builder.copy(checkout(tmp_path / "old", files, OLD_NS))
    (first / "app/b").unlink()
    os.link(first / "app/a", first / "app/b")
    second = builder.copy(checkout(tmp_path / "new", files, NEW_NS), before=first)
    assert not (second / "app/a").samefile(second / "app/b")
    assert {times(second)[f"app/{name}"] for name in files} == {OLD_NS}


def test_a_pipe_keeps_its_time(tmp_path: Path, builder: Builder) -> None:
    made: list[Path] = []
    for name, mtime_ns in (("old", OLD_NS), ("new", NEW_NS)):
        folder = checkout(tmp_path / name, {"a": "one"}, mtime_ns)
        os.mkfifo(folder / "pipe", 0o600)
        os.utime(folder / "pipe", ns=(mtime_ns, mtime_ns))
        made.append(builder.copy(folder, before=made[0] if made else None))
    assert times(made[1]) == times(made[0])
    assert stat.S_ISFIFO((made[1] / "app/pipe").lstat().st_mode)


def test_files_with_extended_attributes_are_written(tmp_path: Path, builder: Builder) -> None:
    """The facts of a record do not tell an earlier file's attributes."""

    def marked(record: FileRecord) -> FileRecord:
        return replace(record, xattrs=(("user.x", b"1"),)) if record.path == "a" else record

    first = builder.copy(old(tmp_path))
    second = builder.copy(checkout(tmp_path / "new", FILES, NEW_NS), before=first, change=marked)
    assert os.getxattr(second / "app/a", "user.x") == b"1"
    assert "user.x" not in os.listxattr(first / "app/a")


def test_a_copy_of_a_stage_keeps_times_and_hard_links_are_those_of_its_source(tmp_path: Path, builder: Builder) -> None:
    made: list[Path] = []
    for name, mtime_ns in (("old", OLD_NS), ("new", NEW_NS)):
        stage = checkout(tmp_path / name, {"s/a": "one", "s/b": "one", "s/c": "one"}, mtime_ns)
        apart, one = ("b", "c") if made else ("c", "b")  # which of them is another name of `a`
        (stage / "s" / one).unlink()
        os.link(stage / "s/a", stage / "s" / one)
        place = tmp_path / f"{name}-work"
        for part in ("upper", "work", "scratch"):
            (place / part).mkdir(parents=True)
        work = Workspace((), place / "upper", place / "work", place / "scratch")
        earlier = Earlier(made[0], contents_of(made[0]), True) if made else None
        groups = tuple(Layers().records((stage,), ("/s",)))
        Layers().place(work, Placement("/app", True, groups, None, "", False, (stage,), earlier), None)
        made.append(work.upper)
        assert (work.upper / "app/a").samefile(work.upper / "app" / one)
        assert not (work.upper / "app/a").samefile(work.upper / "app" / apart)
    assert times(made[1]) == times(made[0])
    assert {(made[1] / "app" / name).read_text() for name in "abc"} == {"one"}
