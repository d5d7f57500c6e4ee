"""What an inventory says of a stack of layers, against the layers' own walks and the merged view."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.layer_making import grow

from lamina.diagnostics import BuildFailure
from lamina.explain.layers import survey
from lamina.explain.layersteps import Layer
from lamina.image.inventory import inventory
from lamina.image.inventory_final import final_changes
from lamina.image.layerwalk import LayerWalk
from lamina.image.rootfs import Rootfs
from lamina.oci.changes import Change, FinalChange

Told = dict[str, list[tuple[int, str]]]


def told(*layers: Path) -> Told:
    """Path → layer and change, of all that is no directory."""
    found = inventory(layers)
    return {
        one.path: [(change.layer, change.change) for change in one.changes]
        for one in found
        if any(change.kind != "directory" for change in one.changes)
    }


def changes(path: str, *layers: Path) -> tuple[Change, ...]:
    return next(one.changes for one in inventory(layers) if one.path == path)


def test_added_changed_removed(tmp_path: Path) -> None:
    low = grow(tmp_path / "0", {"keep": b"k", "change": b"old", "gone": b"g", "dir/a": b"a"})
    top = grow(tmp_path / "1", {"change": b"newer", "gone": "whiteout", "dir/b": b"b", "link": "->keep"})
    assert told(low, top) == {
        "keep": [(0, "added")],
        "change": [(0, "added"), (1, "changed")],
        "gone": [(0, "added"), (1, "removed")],
        "dir/a": [(0, "added")],
        "dir/b": [(1, "added")],
        "link": [(1, "added")],
    }
    assert [one.layer for one in changes("dir", low, top)] == [0]  # there again as it was: no change
    was = changes("change", low, top)[1]
    assert (was.size, was.was, was.kind) == (5, 3, "file")


def test_directories_that_go_take_what_they_hold_with_them(tmp_path: Path) -> None:
    low = grow(tmp_path / "0", {"d/a": b"a", "d/e/b": b"bb", "o/a": b"a", "o/same": b"s", "f/a": b"a"})
    top = grow(tmp_path / "1", {"d": "whiteout", "o": "opaque", "o/same": b"s", "o/new": b"n", "f": b"file"})
    again = grow(tmp_path / "2", {"d/a": b"a"})
    assert told(low, top, again) == {
        "d/a": [(0, "added"), (1, "removed"), (2, "added")],
        "d/e/b": [(0, "added"), (1, "removed")],
        "o/a": [(0, "added"), (1, "removed")],
        "o/same": [(0, "added"), (1, "attributes")],
        "o/new": [(1, "added")],
        "f": [(0, "added"), (1, "changed")],
        "f/a": [(0, "added"), (1, "removed")],
    }
    assert changes("d/e/b", low, top)[1].swept
    assert not changes("o/a", low, top)[1].swept


def test_a_file_with_another_owner_or_mode_is_told_as_such(tmp_path: Path) -> None:
    low = grow(tmp_path / "0", {"chown": b"x", "chmod": b"x", "both": b"x", "touch": b"x", "sized": b"x"})
    top = grow(tmp_path / "1", {"chown": b"x", "chmod": b"x", "both": b"y", "touch": b"x", "sized": b"xx"})
    os.chown(top / "chown", 1, 2)
    (top / "chmod").chmod(0o600)
    os.chown(top / "both", 1, 2)
    found = {path: each[-1][1] for path, each in told(low, top).items()}
    assert found == {
        "chown": "attributes",
        "chmod": "attributes",
        "touch": "attributes",
        "both": "changed",
        "sized": "changed",
    }
    assert changes("chown", low, top)[1].owner == (1, 2)


def test_a_file_of_several_names_ships_its_bytes_once(tmp_path: Path) -> None:
    low = grow(tmp_path / "0", {"a": b"12345"})
    (low / "b").hardlink_to(low / "a")
    (low / "d").mkdir()
    (low / "d" / "c").hardlink_to(low / "a")
    assert [one.changes[0].size for one in inventory([low]) if one.path != "d"] == [5, 0, 0]
    layers = [Layer("sha256:x", "COPY x"), Layer("sha256:y", "RUN rm")]  # type: ignore[arg-type]
    partly = grow(tmp_path / "1", {"a": "whiteout", "b": "whiteout"})
    assert survey(layers, inventory([low, partly])).wasted == 0
    wholly = grow(tmp_path / "2", {"a": "whiteout", "b": "whiteout", "d": "whiteout"})
    found = survey(layers, inventory([low, wholly]))
    assert (found.size, found.wasted, found.visible) == (5, 5, 0)


def test_hostile_names_and_long_paths(tmp_path: Path) -> None:
    layer = grow(tmp_path / "0", {"bad\x1b[31m\n": b"x"})
    (layer / os.fsdecode(b"\xff\xfe")).write_bytes(b"y")
    here = os.open(layer, os.O_RDONLY)
    for _ in range(400):  # 4,400 bytes below the layer's own path, more than the kernel takes at once
        os.mkdir("directory1", dir_fd=here)
        below = os.open("directory1", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    before = len(os.listdir("/proc/self/fd"))
    found = list(inventory([layer, layer]))
    assert len(os.listdir("/proc/self/fd")) <= before  # some of an earlier test may have gone
    paths = [one.path for one in found]
    assert "bad\x1b[31m\n" in paths
    assert "\udcff\udcfe" in paths
    assert paths[-2 if paths[-1].startswith("\udcff") else -1].count("/") == 400
    assert list(final_changes([layer], [layer])) == []
    shutil.rmtree(layer)


def test_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    layer = grow(tmp_path / "0", {"in": f"->{tmp_path}/outside", "up": "->..", "pipe": "fifo"})
    assert told(layer) == {"in": [(0, "added")], "up": [(0, "added")], "pipe": [(0, "added")]}


def test_an_unreadable_layer_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as caught:
        list(inventory([tmp_path / "missing"]))
    assert caught.value.diagnostic.reference == "image-layer-unreadable"


def test_final_views_are_compared_across_layers(tmp_path: Path) -> None:
    base = grow(tmp_path / "base", {"b/keep": b"k", "b/gone": b"g", "m": b"m", "t/x": b"1"})
    old = grow(tmp_path / "old", {"app/one": b"1", "app/two": b"22", "tmp": b"t"})
    less = grow(tmp_path / "less", {"tmp": "whiteout"})
    new = grow(tmp_path / "new", {"app/one": b"1", "app/two": b"222", "b/gone": "whiteout", "m": b"m", "t": b"file"})
    (new / "m").chmod(0o700)
    assert set(final_changes([base, old, less], [base, new])) == {
        FinalChange("app/two", "changed", "file", 2, 3),
        FinalChange("b/gone", "removed", "file", 1, 0),
        FinalChange("m", "attributes", "file", 1, 1),
        FinalChange("t", "changed", "file", 0, 4),
        FinalChange("t/x", "removed", "file", 1, 0),
    }


NAMES = st.sampled_from(["a", "b", "a-", "c"])
ENTRY = st.one_of(st.binary(max_size=3), st.just("whiteout"), st.just("opaque"), st.just("->a"), st.none())
LAYER = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), ENTRY, max_size=6)


def made(root: Path, number: int, tree: dict[str, bytes | str | None]) -> Path:
    """A layer of those entries that can stand side by side."""
    flat = {path for path, what in tree.items() if what not in (None, "opaque")}
    fits = {
        path: what
        for path, what in tree.items()
        if not any(path.startswith(f"{each}/") for each in flat)
        and not (path in flat and any(other.startswith(f"{path}/") for other in tree))
    }
    return grow(root / str(number), fits)


def seen(layers: list[Path]) -> dict[str, int]:
    """What the merged view has but directories: path → size."""
    rootfs = Rootfs(layers[::-1])
    found: dict[str, int] = {}
    waiting = [("", rootfs.dirs)]
    while waiting:
        parent, dirs = waiting.pop()
        for name in rootfs.listing(dirs):
            node, path = rootfs.child(dirs, name), f"{parent}/{name}" if parent else name
            assert node is not None
            if node.is_dir:
                waiting.append((path, node.dirs))
            else:
                found[path] = node.stat.st_size if node.is_file else 0
    return found


@settings(max_examples=120, deadline=None)
@given(st.lists(LAYER, min_size=1, max_size=4))
def test_any_stack_adds_up(trees: list[dict[str, bytes | str | None]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        layers = [made(Path(place), number, tree) for number, tree in enumerate(trees)]
        paths = list(inventory(layers))
        there = {
            one.path: one.changes[-1].size
            for one in paths
            if one.changes[-1].change != "removed" and one.changes[-1].kind != "directory"
        }
        assert there == seen(layers)
        steps = [Layer(f"sha256:{number}", "RUN x") for number in range(len(layers))]  # type: ignore[arg-type]
        found = survey(steps, paths)
        for number, layer in enumerate(layers):
            with LayerWalk(layer, "trusted") as walk:
                assert found.layers[number].size == sum(entry.size for entry in walk.entries())
        assert (found.visible, found.files) == (sum(there.values()), len(there))
        assert sum(waste.size for waste in found.wastes) == found.wasted
        assert 0 <= found.efficiency <= 1
        # The whole stack against all but its top: the views' names, and no more than the top layer changed.
        differing = {one.path: one for one in final_changes(layers[:-1], layers)}
        assert seen(layers[:-1]).keys() ^ there.keys() <= differing.keys()
        top = {one.path for one in paths if one.changes[-1].layer == len(layers) - 1}
        assert {path for path, one in differing.items() if one.kind != "directory"} <= top
