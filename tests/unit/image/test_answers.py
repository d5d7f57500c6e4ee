"""What a layer answers to looks: the same for equal trees, and after a change another exactly where it can be seen."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.diagnostics import BuildFailure
from lamina.image.answers import answers
from lamina.image.layerio import Layers
from lamina.keys.looks import ANSWER, Look, LookKind
from lamina.ports.storing import Workspace
from lamina.store.remove import remove_tree

KINDS: tuple[LookKind, ...] = get_args(LookKind)
MTIME_NS = 1_000_000_000_123_456_789
LATIN = os.fsdecode(b"caf\xe9")

Tree = Mapping[str, bytes | str | None]
Seen = tuple[str, LookKind]

#: bytes: a file; text: a link to it; None: a directory.
TREE: Tree = {
    "app": None,
    "app/a.py": b"one",
    "app/b.py": b"",
    "app/link": "a.py",
    "app/lib": None,
    "app/lib/deep": None,
    f"app/lib/deep/{LATIN}": b"latin",
    "app/lib/x": b"x",
    "other": b"other",
}


def make(root: Path, tree: Tree) -> Path:
    root.mkdir()
    for path, what in tree.items():
        if what is None:
            (root / path).mkdir()
        elif isinstance(what, bytes):
            (root / path).write_bytes(what)
        else:
            (root / path).symlink_to(what)
    for path in (*tree, "."):
        still(root / path)
    return root


def still(path: Path, mtime_ns: int = MTIME_NS) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def asked(root: Path, paths: tuple[str, ...], contents: Mapping[str, str] | None = None) -> dict[Seen, bytes]:
    looks = sorted(Look(path, kind) for path in paths for kind in KINDS)
    found = answers(root, looks, contents or {})
    assert len(found) == len(looks) * ANSWER
    return {(look.path, look.kind): found[number * ANSWER : (number + 1) * ANSWER] for number, look in enumerate(looks)}


PATHS = ("", *TREE, "app/none", "app/new", "app/lib/x/below", "app/link/below", "none/at/all")


def changed(root: Path, change: Callable[[Path], object]) -> set[Seen]:
    """The looks that are answered otherwise after a change which leaves the times of directories as they are."""
    before = asked(root, PATHS)
    change(root)
    for directory in (root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())):
        if directory.stat().st_mtime_ns // 10**9 != MTIME_NS // 10**9:
            still(directory)
    after = asked(root, PATHS)
    return {seen for seen in before if before[seen] != after[seen]}


def entries(*paths: str) -> set[Seen]:
    return {(path, "entry") for path in paths}


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)
    still(path)


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    still(path)


CHANGES: dict[str, tuple[Callable[[Path], object], set[Seen]]] = {
    "content of the same size": (lambda root: write(root / "app/a.py", b"ONE"), {("app/a.py", "read")}),
    "content of another size": (
        lambda root: write(root / "app/a.py", b"three"),
        {("app/a.py", "read"), ("app/a.py", "entry")},
    ),
    "mode": (lambda root: (root / "app/a.py").chmod(0o600), entries("app/a.py")),
    "set-user-id": (lambda root: (root / "app/a.py").chmod(0o4644), entries("app/a.py")),
    "sticky directory": (lambda root: (root / "app/lib").chmod(0o1755), entries("app/lib")),
    "user": (lambda root: os.chown(root / "app/a.py", 1, 0), entries("app/a.py")),
    "group": (lambda root: os.chown(root / "app/lib", 0, 1), entries("app/lib")),
    "owner of a link": (lambda root: os.lchown(root / "app/link", 1, 1), entries("app/link")),
    "a nanosecond": (lambda root: still(root / "app/a.py", MTIME_NS + 1), entries("app/a.py")),
    "time of a directory": (lambda root: still(root / "app/lib", MTIME_NS + 1), entries("app/lib")),
    "time of a link": (lambda root: still(root / "app/link", MTIME_NS + 1), entries("app/link")),
    "time of the root": (lambda root: still(root, MTIME_NS + 1), set()),
    "mode of the root": (lambda root: root.chmod(0o700), entries("")),
    "target": (
        lambda root: replaced(root / "app/link", lambda path: path.symlink_to("b.py")),
        {("app/link", "link")},
    ),
    "attribute": (lambda root: os.setxattr(root / "app/a.py", "user.x", b"1"), {("app/a.py", "xattrs")}),
    "attribute of a directory": (lambda root: os.setxattr(root / "app", "user.x", b"1"), {("app", "xattrs")}),
    "attribute of a link": (
        lambda root: os.setxattr(root / "app/link", "trusted.x", b"1", follow_symlinks=False),
        {("app/link", "xattrs")},
    ),
    "capability": (
        lambda root: os.setxattr(
            root / "app/a.py", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000")
        ),
        {("app/a.py", "xattrs")},
    ),
    "opaque": (lambda root: os.setxattr(root / "app/lib", "trusted.overlay.opaque", b"y"), entries("app/lib")),
    "opaque root": (lambda root: os.setxattr(root, "trusted.overlay.opaque", b"y"), set()),
    "origin": (lambda root: os.setxattr(root / "app/lib", "trusted.overlay.origin", b"o"), set()),
    "added file": (
        lambda root: write(root / "app/new", b""),
        {("app", "list"), *((("app/new", kind)) for kind in ("entry", "read", "xattrs"))},
    ),
    "added where nobody looked": (lambda root: write(root / "app/lib/unseen", b""), {("app/lib", "list")}),
    "removed file": (
        lambda root: (root / "app/lib/x").unlink(),
        {("app/lib", "list"), *((("app/lib/x", kind)) for kind in ("entry", "read", "xattrs"))},
    ),
    "removed tree": (
        lambda root: shutil.rmtree(root / "app/lib/deep"),
        {
            ("app/lib", "list"),
            *((("app/lib/deep", kind)) for kind in ("entry", "list", "xattrs")),
            *(((f"app/lib/deep/{LATIN}", kind)) for kind in ("entry", "read", "xattrs")),
        },
    ),
    "a file for a link": (
        lambda root: replaced(root / "app/link", lambda path: path.write_bytes(b"a.py")),
        {("app", "list"), *((("app/link", kind)) for kind in ("entry", "read", "link"))},
    ),
    "a directory for a file": (
        lambda root: replaced(root / "app/lib/x", lambda path: path.mkdir()),
        {("app/lib", "list"), *((("app/lib/x", kind)) for kind in ("entry", "read", "list"))},
    ),
    "a pipe for a file": (
        lambda root: replaced(root / "app/b.py", lambda path: os.mkfifo(path, 0o644)),
        {("app", "list"), ("app/b.py", "entry"), ("app/b.py", "read")},
    ),
    "a whiteout for a file": (
        lambda root: replaced(root / "app/b.py", lambda path: os.mknod(path, 0o644 | stat.S_IFCHR, 0)),
        {("app", "list"), ("app/b.py", "entry"), ("app/b.py", "read")},
    ),
    "another name of a file": (
        lambda root: os.link(root / "other", root / "app/lib/deep/hard"),
        {("app/lib/deep", "list")},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_by_the_looks_that_it_concerns_and_by_no_other(tmp_path: Path, what: str) -> None:
    change, expected = CHANGES[what]
    assert changed(make(tmp_path / "layer", TREE), change) == expected


def test_equal_trees_give_equal_answers(tmp_path: Path) -> None:
    first, second = make(tmp_path / "1", TREE), make(tmp_path / "2", dict(sorted(TREE.items())))
    assert asked(first, PATHS) == asked(second, PATHS)


def test_answers_to_different_kinds_and_things_differ(tmp_path: Path) -> None:
    """Apart from those that say that there is nothing of the kind."""
    found = asked(make(tmp_path / "layer", TREE), (*TREE, "none"))
    here = {
        look: answer
        for look, answer in found.items()
        if look[1] in ("entry", "xattrs")
        or (look[1] == "read" and isinstance(TREE.get(look[0]), bytes))
        or look == ("app/link", "link")
    }
    assert len({answer for look, answer in here.items() if look[1] == "read"}) == 5
    assert len({look[1] for look in here}) == 4
    by_kind = [{answer for look, answer in found.items() if look[1] == kind} for kind in KINDS]
    assert len(set.union(*by_kind)) == sum(map(len, by_kind))


def test_known_contents_are_believed_for_regular_files_only(tmp_path: Path) -> None:
    root = make(tmp_path / "layer", TREE)
    contents = {path: hashlib.sha256(data).hexdigest() for path, data in TREE.items() if isinstance(data, bytes)}
    assert asked(root, PATHS, contents) == asked(root, PATHS)
    wrong = asked(root, PATHS, dict.fromkeys(PATHS, "0" * 64))
    differing = {look for look, answer in asked(root, PATHS).items() if wrong[look] != answer}
    assert differing == {(path, "read") for path in contents}


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", {"secret": b"of this machine", "dir": None, "dir/x": b"x"})
    root = make(tmp_path / "layer", {"out": str(outside), "file": str(outside / "secret"), "up": ".."})
    paths = ("out/secret", "out/dir", "out/dir/x", "file/x", "up/outside/secret", "../outside/secret", "up/..")
    nothing = asked(make(tmp_path / "empty", {}), paths)
    assert asked(root, paths) == nothing
    assert asked(root, ("file",))["file", "read"] == asked(root, ("nothing",))["nothing", "read"]


@pytest.mark.parametrize("path", ["/etc/passwd", "..", ".", "a/../a", "a//a", "a/.", "./a", "a/"])
def test_what_is_no_path_of_a_layer_is_absent(tmp_path: Path, path: str) -> None:
    root = make(tmp_path / "layer", {"a": None, "a/a": b""})
    assert asked(root, (path,)) == {(path, kind): asked(root, ("no",))["no", kind] for kind in KINDS}


def test_both_forms_of_a_whiteout_are_one_answer(tmp_path: Path) -> None:
    root = make(tmp_path / "layer", {"d": None, "d/marked": b"", "d/file": b"", "d/later": b""})
    os.setxattr(root / "d", "trusted.overlay.opaque", b"x")
    os.setxattr(root / "d/marked", "trusted.overlay.whiteout", b"y")
    os.setxattr(root / "d/later", "trusted.overlay.whiteout", b"y")
    still(root / "d/later", MTIME_NS + 1)
    os.mknod(root / "d/device", 0o600 | stat.S_IFCHR, 0)
    found = asked(root, ("d/marked", "d/later", "d/device", "d/file", "d/none"))
    whiteout = found["d/device", "entry"]
    assert [path for (path, kind), answer in found.items() if kind == "entry" and answer == whiteout] == [
        "d/device",
        "d/later",
        "d/marked",
    ]
    assert found["d/none", "entry"] != whiteout


def test_the_namespace_of_the_marks_counts(tmp_path: Path) -> None:
    root = make(tmp_path / "layer", {"d": None})
    look = [Look("d", "entry")]
    before = answers(root, look, {}, "user"), answers(root, look, {}, "trusted")
    os.setxattr(root / "d", "user.overlay.opaque", b"y")
    assert answers(root, look, {}, "user") != before[0]
    assert answers(root, look, {}, "trusted") == before[1]
    assert Layers("user").answers(root, look, {}) == answers(root, look, {}, "user")


def test_special_files_and_devices(tmp_path: Path) -> None:
    root = make(tmp_path / "layer", {})
    for name, mode, device in (("c", stat.S_IFCHR, (1, 3)), ("d", stat.S_IFCHR, (1, 5)), ("b", stat.S_IFBLK, (1, 3))):
        os.mknod(root / name, mode | 0o600, os.makedev(*device))
    os.mkfifo(root / "p", 0o600)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s"))
    (root / "s").chmod(0o600)
    for name in "bcdps":
        still(root / name)
    found = asked(root, tuple("bcdps"))
    assert len({found[name, "entry"] for name in "bcdps"}) == 5
    assert len({found[name, "read"] for name in "bcdps"}) == 1


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """2,047 directories in each other, and a file."""
    root = make(tmp_path / "layer", {})
    directory = os.open(root, os.O_RDONLY)
    for _ in range(2047):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
    os.utime("f", ns=(MTIME_NS, MTIME_NS), dir_fd=directory)
    os.close(directory)
    yield root
    remove_tree(root)  # what pytest does itself is recursive


def test_the_longest_paths_and_many_levels(deep: Path, tmp_path: Path) -> None:
    """4,095 bytes, one letter a level, deeper than a process may open files; the layer's own path comes on top."""
    path = "d/" * 2047 + "f"
    levels = tuple("/".join("d" * depth) for depth in (1, 63, 64, 65, 66, 2000, 2047))
    found = asked(deep, (*levels, path, path[:-1] + "no", "d/" * 3000 + "f", "x" * 5000, "d/" + "x" * 256))
    flat = make(tmp_path / "flat", {"f": b""})
    assert found[path, "entry"] == asked(flat, ("f",))["f", "entry"]
    assert found[levels[-1], "list"] == asked(flat, ("",))["", "list"]
    gone = asked(flat, ("no",))["no", "entry"]
    assert [one for (one, kind), answer in found.items() if kind == "entry" and answer == gone] == sorted(
        ("d/" + "x" * 256, path[:-1] + "no", "d/" * 3000 + "f", "x" * 5000)
    )


def test_a_layer_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildFailure) as failure:
        answers(tmp_path / "gone", [Look("a", "entry")], {})
    assert failure.value.diagnostic.reference == "image-layer-unreadable"


def test_nothing_stays_open(tmp_path: Path) -> None:
    root = make(tmp_path / "layer", {f"{number}": None for number in range(200)})
    before = len(os.listdir("/proc/self/fd"))
    asked(root, tuple(f"{number}/x" for number in range(200)))
    assert len(os.listdir("/proc/self/fd")) <= before  # some of an earlier test may have gone


# --- any tree, any change --------------------------------------------------------------------------------------------
NAMES = st.sampled_from(["a", "b", "a-b", "é", LATIN, "a b", "\n", "A"])
CONTENT = st.one_of(st.none(), st.binary(max_size=3), st.sampled_from(["a", "/", "b/c"]))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, bytes | str | None]:
    tree: dict[str, bytes | str | None] = {}
    for _ in range(draw(st.integers(0, 8))):
        above = draw(st.sampled_from(["", *(path for path, what in tree.items() if what is None)]))
        name = draw(NAMES)
        tree.setdefault(f"{above}/{name}" if above else name, draw(CONTENT))
    return tree


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def shown(tree: Tree, path: str, kind: LookKind) -> object:
    """What a look at a model of a layer shows."""
    there = path in tree or path == ""
    what = tree.get(path)
    above = path.rpartition("/")[0]
    if not there or (above and tree.get(above, b"") is not None):
        return "absent" if kind == "entry" else kind != "xattrs" or "none"
    match kind:
        case "entry":
            return type(what), len(what) if what is not None else 0, path == ""
        case "read" if isinstance(what, bytes):
            return what
        case "link" if isinstance(what, str):
            return what
        case "list" if what is None:
            inside = path + "/" if path else ""
            below = [one for one in tree if one.startswith(inside) and "/" not in one[len(inside) :]]
            return sorted((one, type(tree[one])) for one in below if one)[:] or "empty"
        case "xattrs":
            return "there"
    return True


@settings(max_examples=60, deadline=None)
@given(first=trees(), second=trees(), asks=st.sets(st.tuples(NAMES, NAMES), max_size=4))
def test_two_trees_are_told_apart_by_exactly_what_differs(
    folder: Path, first: Tree, second: Tree, asks: set[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        one, other = make(Path(made) / "1", first), make(Path(made) / "2", second)
        paths = tuple({"", *first, *second, *(f"{above}/{name}" for above, name in asks)})
        before, after = asked(one, paths), asked(other, paths)
    for path, kind in before:
        same = shown(first, path, kind) == shown(second, path, kind)
        assert (before[path, kind] == after[path, kind]) == same, (path, kind)


def test_a_copy_and_its_looks(tmp_path: Path) -> None:
    """Through the port, on a workspace."""
    for name in ("upper", "work", "scratch"):
        (tmp_path / name).mkdir()
    work = Workspace((), tmp_path / "upper", tmp_path / "work", tmp_path / "scratch")
    Layers().make_directory(work, "/srv/app", (0, 0))
    looks = [Look("srv", "list"), Look("srv/app", "entry")]
    assert Layers().answers(work.upper, looks, {}) == answers(work.upper, looks, {})
