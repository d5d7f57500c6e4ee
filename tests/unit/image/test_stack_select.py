from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from tests.support.layer_making import Tree, grow

from lamina.diagnostics import BuildFailure
from lamina.image.layerio import Layers
from lamina.keys.filetree import FileRecord, Selection
from lamina.keys.select import select as select_in_list

TREE: Tree = {
    "app/a.py": b"a",
    "app/b.py": b"b",
    "app/sub/c.py": b"c",
    "app/sub-d": b"d",
    "lib": "->usr/lib",
    "usr/lib/x.so": b"x",
    "link.py": "->app/a.py",
    "applink": "->/app",
    "dangling.py": "->nowhere",
    "ring": "->ring",
    "out": "->../../../../etc",
    "we[i]rd": b"w",
}


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    return [grow(tmp_path / "layer", TREE)]


def shape(selections: list[Selection]) -> list[tuple[str, bool, list[str]]]:
    return [(one.base, one.is_dir, [record.path for record in one.files]) for one in selections]


APP = ["app", "app/a.py", "app/b.py", "app/sub", "app/sub-d", "app/sub/c.py"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/app/a.py", [("app/a.py", False, ["app/a.py"])]),
        ("app/a.py/", [("app/a.py", False, ["app/a.py"])]),
        ("../../app/./sub/../a.py", [("app/a.py", False, ["app/a.py"])]),
        ("/app/", [("app", True, APP)]),
        ("/applink", [("app", True, APP)]),
        ("/link.py", [("link.py", False, ["app/a.py"])]),
        ("/lib/x.so", [("lib/x.so", False, ["usr/lib/x.so"])]),
        ("/lib/*", [("usr/lib/x.so", False, ["usr/lib/x.so"])]),
        ("/app/*.py", [("app/a.py", False, ["app/a.py"]), ("app/b.py", False, ["app/b.py"])]),
        ("/app/[!b].py", [("app/b.py", False, ["app/b.py"])]),
        ("/app/[^b].py", [("app/a.py", False, ["app/a.py"])]),
        ("/*/sub", [("app/sub", True, ["app/sub", "app/sub/c.py"])]),
        ("/*.py", [("dangling.py", False, ["dangling.py"]), ("link.py", False, ["app/a.py"])]),
        ("/nothing*", []),
        ("/nowhere/*", []),
        ("/app/a.py/*", []),
        ("/ring/*", []),
        ("/we[[]i]rd", [("we[i]rd", False, ["we[i]rd"])]),
    ],
)
def test_what_a_source_selects(layers: list[Path], pattern: str, found: list[object]) -> None:
    selections = list(Layers().records(layers, [pattern]))
    assert shape(selections) == found
    (everything,) = Layers().records(layers, ["/"])
    if pattern != "/ring/*":
        assert list(select_in_list(everything.files, pattern)) == selections


def test_the_root_has_no_record_of_its_own(layers: list[Path]) -> None:
    (root,) = Layers().records(layers, ["/"])
    assert (root.base, root.is_dir) == ("", True)
    paths = [record.path for record in root.files]
    assert paths == sorted(paths)
    assert len(paths) == 16


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("/app/a.pi", "/app/a.py"),
        ("/ap", "/app"),
        ("/ring", ""),
        ("/app/a.py/x", ""),
        ("/out/passwd", ""),
        ("/q/q", ""),
    ],
)
def test_a_missing_literal_fails_with_a_hint(layers: list[Path], source: str, hint: str) -> None:
    with pytest.raises(BuildFailure) as caught:
        Layers().records(layers, [source])
    assert caught.value.diagnostic.reference == "step-copy-source-missing"
    assert source in caught.value.diagnostic.message
    assert hint in (caught.value.diagnostic.hint or "")


def test_a_malformed_pattern_fails(layers: list[Path]) -> None:
    with pytest.raises(BuildFailure) as caught:
        Layers().records(layers, ["/app/[a"])
    assert caught.value.diagnostic.reference == "dockerfile-bad-pattern"


def test_records_say_everything_that_a_key_needs(tmp_path: Path) -> None:
    root = grow(tmp_path / "layer", {"d/f": b"content", "d/l": "->f", "d/p": "fifo"})
    os.chown(root / "d/f", 3, 4)
    (root / "d/f").chmod(0o4750)
    os.setxattr(root / "d/f", "user.b", b"2")
    os.setxattr(root / "d/f", "user.a", b"1")
    os.setxattr(root / "d/f", "trusted.no", b"")
    os.mknod(root / "d/c", 0o20600, os.makedev(1, 3))
    (selection,) = Layers().records([root], ["/d"])
    content = hashlib.sha256(b"content").hexdigest()
    assert selection.files == (
        FileRecord("d", "dir", 0o755),
        FileRecord("d/c", "char", 0o600, target="1:3"),
        FileRecord("d/f", "file", 0o4750, 7, content, "", 3, 4, (("user.a", b"1"), ("user.b", b"2"))),
        FileRecord("d/l", "link", 0o777, target="f"),
        FileRecord("d/p", "fifo", 0o644),
    )


def test_large_files_and_trees_deeper_than_pythons_stack(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    root = grow(tmp_path / "layer", {"big": data})
    deep = os.open(root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    try:
        (selection,) = Layers().records([root], ["/"])
    finally:
        for depth in range(1200, 0, -1):  # pytest's own clean-up would run out of stack
            Path(root, "/".join(["d"] * depth)).rmdir()
    assert len(selection.files) == 1201
    assert selection.files[0].content == hashlib.sha256(data).hexdigest()


NARROWED = [
    ("/app", False, ["*.py"]),
    ("/app", False, ["**/*.py", "!sub/c.py"]),
    ("/app/*.py", False, ["a*"]),
    ("/link.py", False, ["link.*"]),
    ("/", False, ["app/sub", "usr"]),
    ("/*", False, ["sub"]),
    ("/nothing*", False, ["x"]),
    ("/app/sub/c.py", True, []),
    ("app/./sub", True, []),
    ("/usr/./lib/*.so", True, []),
    ("/**/*.py", True, []),
    ("/lib/./*", True, []),
    ("/app/./", True, []),
    ("/lib", True, []),
    ("/*", True, ["app/sub", "usr/lib/*"]),
    ("/we[[]i]rd", True, []),
    ("/./app/../app", True, ["**/b.py"]),
    ("app/./*.none", True, []),
    ("/dangling.py", True, []),
]


@pytest.mark.parametrize(("pattern", "parents", "exclude"), NARROWED)
def test_narrowed_selections_are_those_of_the_context(
    layers: list[Path], pattern: str, parents: bool, exclude: list[str]
) -> None:
    (everything,) = Layers().records(layers, ["/"])
    expected = list(select_in_list(everything.files, pattern, parents=parents, exclude=exclude))
    try:
        found = list(Layers().records(layers, [pattern], parents=parents, exclude=exclude))
    except BuildFailure as failure:
        assert failure.diagnostic.reference == "step-copy-source-missing"
        found = []
    assert found == expected


def test_what_is_not_selected_is_not_read(layers: list[Path]) -> None:
    """Reading these would take hours."""
    for name in ("app/huge.bin", "huge.bin"):
        with (layers[0] / name).open("wb") as stream:
            stream.truncate(8 << 40)
    (selection,) = Layers().records(layers, ["/app"], exclude=["*.bin"])
    assert [record.path for record in selection.files] == APP
    (selection,) = Layers().records(layers, ["/app/*.py"], parents=True)
    assert [record.path for record in selection.files] == ["app", "app/a.py", "app/b.py"]


def test_a_malformed_exclusion_fails(layers: list[Path]) -> None:
    with pytest.raises(BuildFailure) as caught:
        Layers().records(layers, ["/app"], exclude=["[a"])
    assert caught.value.diagnostic.reference == "context-bad-ignore-pattern"
