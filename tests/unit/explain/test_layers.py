"""Counting layers, naming waste and its remedy, trees and their rows: pure, from given changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.digest import DiffID, Digest
from lamina.explain.layerrows import Rows
from lamina.explain.layers import compared, excesses, survey
from lamina.explain.layersteps import Layer, instruction, layers_of
from lamina.explain.layertree import Node, tree
from lamina.explain.layerwaste import REMEDIES, Sort, remedy
from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.oci.changes import Change, FinalChange, PathChanges
from lamina.oci.config import History, ImageConfig, RootFS

PAGE = Path(__file__).parents[3] / "docs" / "layers.md"


def diff(number: int) -> DiffID:
    return DiffID(Digest(f"sha256:{number:064x}"))


def span(line: int) -> Span:
    return Span("Dockerfile", line, 1, line, 5)


def layer(number: int, text: str, *, base: bool = False) -> Layer:
    return Layer(diff(number), text, None if base else span(number + 1), base)


LAYERS = (layer(0, "CMD sh", base=True), layer(1, "COPY . /app"), layer(2, "RUN make"), layer(3, "RUN chown -R a /app"))


def put(path: str, *changes: Change) -> PathChanges:
    return PathChanges(path, changes)


def added(number: int, size: int, **more: int) -> Change:
    return Change(number, "added", "file", size, **more)  # type: ignore[arg-type]


def removed(number: int, was: int, *, swept: bool = False) -> Change:
    return Change(number, "removed", "file", 0, was, swept=swept)


def test_counts_add_up() -> None:
    found = survey(
        LAYERS,
        [
            put("lib", Change(0, "added", "directory", 0)),
            put("lib/x", added(0, 100), Change(2, "changed", "file", 60, 100)),
            put("app/a", added(1, 30), Change(3, "attributes", "file", 30, 30, owner=(1, 1))),
            put("app/b", added(1, 7), removed(2, 7)),
        ],
    )
    assert [(one.size, one.hidden) for one in found.layers] == [(100, 100), (37, 37), (60, 0), (30, 0)]
    assert (found.size, found.visible, found.files, found.wasted) == (227, 90, 2, 137)
    assert [(one.added, one.changed, one.attributes, one.removed) for one in found.layers] == [
        (1, 0, 0, 0),
        (2, 0, 0, 0),
        (0, 1, 0, 1),
        (0, 0, 1, 0),
    ]
    assert [(one.sort, one.size, one.maker, one.hider) for one in found.wastes] == [
        ("overwritten", 100, 0, 2),
        ("copied", 30, 1, 3),
        ("deleted", 7, 1, 2),
    ]
    assert found.wastes[1].fix.startswith("line 4 ships the files a second time")
    assert "give line 2 --chown or --chmod" in found.wastes[1].fix


def test_efficiency_is_that_of_dive() -> None:
    """Smallest size of each path over all sizes; a deleted file's smallest is 0; a deleted directory counts on both
    sides."""
    assert survey(LAYERS, []).efficiency == 1.0
    assert survey(LAYERS, [put("x", added(0, 50), Change(2, "changed", "file", 100, 50))]).efficiency == 50 / 150
    assert survey(LAYERS, [put("x", added(0, 50), removed(1, 50)), put("y", added(0, 50))]).efficiency == 50 / 100
    assert survey(LAYERS, [put("d/x", added(0, 50), removed(1, 50, swept=True))]).efficiency == 1.0


@pytest.mark.parametrize(
    ("sort", "path", "maker", "hider", "name"),
    [
        ("deleted", "/var/lib/apt/lists/deb", "RUN", "RUN", "package index"),
        ("deleted", "/root/.cache/pip/x", "RUN", "RUN", "package cache"),
        ("deleted", "/root/.npm/_cacache/x", "RUN", "RUN", "package cache"),
        ("deleted", "/tmp/x", "RUN", "RUN", "temporary files"),
        ("deleted", "/tmp/x", "COPY", "RUN", "copied, then used and deleted"),
        ("deleted", "/opt/x", "RUN", "RUN", "made, then deleted"),
        ("deleted", "/usr/lib/x", "BASE", "RUN", "deleted from the base image"),
        ("deleted", "/usr/lib/x", "BASE", "BASE", "inside the base image"),
        ("overwritten", "/var/lib/dpkg/status", "BASE", "RUN", "package database"),
        ("overwritten", "/usr/lib/libc.so", "BASE", "RUN", "upgrade of the base image"),
        ("overwritten", "/app/x", "RUN", "RUN", "written twice"),
        ("copied", "/app/x", "ADD", "RUN", "owner or mode of copied files"),
        ("copied", "/app/x", "RUN", "RUN", "owner or mode"),
        ("copied", "/etc/x", "BASE", "RUN", "owner or mode of the base image's files"),
        ("repeated", "/app/package.json", "COPY", "COPY", "copied twice"),
        ("repeated", "/app/x", "RUN", "RUN", "written again as it was"),
    ],
)
def test_remedies(sort: Sort, path: str, maker: str, hider: str, name: str) -> None:
    assert remedy(sort, path, maker, hider).name == name


@pytest.mark.parametrize("sort", ["deleted", "overwritten", "copied", "repeated"])
def test_there_is_a_remedy_for_all(sort: Sort) -> None:
    assert remedy(sort, "/x", "", "").words.format(maker="line 1", hider="line 2")


def test_the_page_has_every_remedy() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = [row for row in rows if row[0] in {one.name for one in REMEDIES}]
    assert told == [(one.name, one.words.format(maker="MAKER", hider="HIDER")) for one in REMEDIES]


def test_a_file_with_names_hidden_in_any_order_is_wasted_once() -> None:
    def link(path: str, size: int, *, gone: bool) -> PathChanges:
        first = Change(1, "added", "file", size, link=9)
        return put(path, first, Change(2, "removed", "file", 0, 40, link=9)) if gone else put(path, first)

    assert survey(LAYERS, [link("a", 40, gone=True), link("b", 0, gone=False)]).wasted == 0
    whole = survey(LAYERS, [link("a", 40, gone=True), link("b", 0, gone=True)])
    assert (whole.wasted, whole.wastes[0].files) == (40, 1)


def test_limits() -> None:
    found = survey(LAYERS, [put("a", added(0, 900)), put("b", added(1, 80), removed(3, 80)), put("c", added(2, 20))])
    assert excesses(LAYERS, found, 1000, 80) == ()
    assert excesses(LAYERS, found, None, 0.08) == ()
    (size,) = excesses(LAYERS, found, 999, None)
    assert (size.limit, size.found, size.worst, size.share) == ("size", 1000, 0, 900)
    (waste,) = excesses(LAYERS, found, None, 0.079)
    assert (waste.limit, waste.allowed, waste.found, waste.worst) == ("waste", 79, 80, 3)


def test_what_the_base_image_wastes_is_no_excess() -> None:
    layers = (layer(0, "a", base=True), layer(1, "b", base=True), layer(2, "RUN x"))
    found = survey(layers, [put("a", added(0, 900), removed(1, 900))])
    assert found.wasted == 900
    assert excesses(layers, found, None, 0) == ()


def step(number: int, text: str, *, made: bool = True) -> ToldStep:
    return ToldStep(f"x/{number}", text, span(number), "done", diff_id=diff(number) if made else None)


def stage(label: str, base: str, *steps: ToldStep, digest: Digest | None = None) -> ToldStage:
    return ToldStage(label, True, base, "found", span(1), "linux/amd64", steps, digest)  # type: ignore[arg-type]


def config(*numbers: int) -> ImageConfig:
    history = [History(created_by=f"/bin/sh -c step {number}") for number in numbers]
    return ImageConfig("amd64", "linux", RootFS("layers", tuple(map(diff, numbers))), history=tuple(history))


def test_lines_come_from_the_story_through_the_stages_below() -> None:
    story = Story(
        (
            stage("deps", "python:3", step(5, "RUN pip"), digest=Digest("sha256:x")),
            stage("other", "busybox", step(6, "RUN other"), digest=Digest("sha256:y")),
            stage("final", "Deps", step(7, "COPY . ."), step(8, "ENV A=1", made=False), step(9, "RUN make")),
        )
    )
    found = layers_of(config(1, 5, 7, 9), story, [10, None, 30])
    assert [(one.base, one.text, one.span.line if one.span else 0) for one in found] == [
        (True, "RUN step 1", 0),
        (False, "RUN pip", 5),
        (False, "COPY . .", 7),
        (False, "RUN make", 9),
    ]
    assert [one.compressed for one in found] == [10, None, 30, None]


def test_a_story_that_does_not_fit_says_nothing_of_a_base() -> None:
    story = Story((stage("final", "busybox", step(3, "RUN a"), step(9, "RUN b"), digest=Digest("sha256:y")),))
    found = layers_of(config(1, 4, 9), story)
    assert [(one.base, one.span is not None) for one in found] == [(False, False), (False, False), (False, True)]
    assert not any(one.base for one in layers_of(config(1, 2), None))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("RUN /bin/sh -c make # buildkit", "RUN make"),
        ("RUN |2 A=1 B=2 /bin/sh -c make # buildkit", "RUN make"),
        ("/bin/sh -c #(nop) COPY file:1 in / ", "COPY file:1 in /"),
        ("/bin/sh -c apt-get  update", "RUN apt-get update"),
        ("COPY . /app # buildkit", "COPY . /app"),
        ("crane append", "crane append"),
        ("", ""),
    ],
)
def test_instructions_of_other_builders(text: str, told: str) -> None:
    assert instruction(text) == told


def drawn(node: Node) -> dict[str, tuple[str, int, int]]:
    """Path → mark, size, gone of all below."""
    found: dict[str, tuple[str, int, int]] = {}
    waiting = [(node, "")]
    while waiting:
        one, path = waiting.pop()
        for child in (one.children or {}).values():
            below = f"{path}/{child.name}" if path else child.name
            found[below] = (child.mark, child.size, child.gone)
            waiting.append((child, below))
    return found


PATHS = (
    put("app", Change(1, "added", "directory", 0)),
    put("app/a", added(1, 30), Change(3, "attributes", "file", 30, 30)),
    put("app/b", added(1, 7), removed(2, 7)),
    put("lib", Change(0, "added", "directory", 0)),
    put("lib/x", added(0, 100), Change(2, "changed", "file", 60, 100)),
    put("lib/y", added(0, 5)),
    put("lib/z", added(0, 9), removed(3, 9)),
)


def test_the_tree_of_the_whole_image() -> None:
    assert drawn(tree(PATHS)) == {
        "app": ("added", 30, 7),
        "app/a": ("added", 30, 0),
        "app/b": ("removed", 0, 7),
        "lib": ("", 65, 9),
        "lib/x": ("changed", 60, 0),
        "lib/y": ("", 5, 0),
        "lib/z": ("removed", 0, 9),
    }
    assert list(drawn(tree(PATHS, depth=1))) == ["app", "lib"]
    assert drawn(tree(PATHS, depth=1))["lib"] == ("", 65, 9)
    assert sorted(drawn(tree(PATHS, top="lib", depth=1))) == ["lib", "lib/x", "lib/y", "lib/z"]
    assert tree(PATHS).find("lib/x") is not None
    assert tree(PATHS).find("lib/x/no") is None


def test_the_tree_of_a_layer() -> None:
    assert drawn(tree(PATHS, layer=2)) == {
        "app": ("", 0, 7),
        "app/b": ("removed", 0, 7),
        "lib": ("", 60, 0),
        "lib/x": ("changed", 60, 0),
    }


def test_a_file_with_several_names_has_its_bytes_where_it_is_to_be_seen() -> None:
    paths = [
        put("a", added(1, 40, link=9), Change(2, "removed", "file", 0, 40, link=9)),
        put("b", added(1, 0, link=9)),
        put("c", added(1, 0, link=9)),
    ]
    root = tree(paths)
    assert (root.size, {path: told[1] for path, told in drawn(root).items()}) == (40, {"a": 0, "b": 40, "c": 0})


def names(rows: Rows) -> list[str]:
    return ["  " * depth + node.name for node, depth in rows.rows]


def test_rows_are_made_as_far_as_they_are_open() -> None:
    rows = Rows(tree(PATHS))
    assert names(rows) == ["lib", "app"]
    rows.toggle(0)
    assert names(rows) == ["lib", "  x", "  z", "  y", "app"]
    assert rows.parent(2) == 0
    rows.toggle(1)  # a file
    rows.sort(by_size=False)
    assert names(rows) == ["app", "lib", "  x", "  y", "  z"]
    rows.toggle(1)
    assert names(rows) == ["app", "lib"]


def test_rows_by_name_and_mark() -> None:
    rows = Rows(tree(PATHS))
    rows.filter("Y", None)
    assert names(rows) == ["lib", "  y"]
    rows.filter("", "removed")
    assert names(rows) == ["lib", "  z", "app", "  b"]
    rows.filter("app", None)
    assert names(rows) == ["app"]
    rows.toggle(0)
    assert names(rows) == ["app", "  a", "  b"]
    rows.filter("nothing", None)
    assert names(rows) == []
    rows.filter("", None)
    assert "lib" in names(rows)


def test_comparing_two_images() -> None:
    before: Sequence[Layer] = LAYERS
    after = (*LAYERS[:2], layer(8, "RUN other"), replace(LAYERS[2], span=None))
    found = compared(
        before,
        after,
        [
            FinalChange("app", "added", "directory"),
            FinalChange("app/x", "added", "file", 0, 10),
            FinalChange("app/y", "changed", "file", 100, 20),
            FinalChange("z", "removed", "file", 5, 0),
        ],
    )
    assert (found.shared, found.moved) == (2, (diff(2),))
    assert [(one.path, one.before, one.after) for one in found.folders] == [("app", 100, 30), ("z", 5, 0)]
    assert [one.path for one in found.paths] == ["app/y", "app/x", "z"]
    assert (found.total.added, found.total.changed, found.total.removed) == (1, 1, 1)
