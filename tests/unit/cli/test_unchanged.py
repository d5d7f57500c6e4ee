"""When a build may be answered from a memo, part by part; whole builds are in tests/e2e/test_unchanged.py."""

from __future__ import annotations

import hashlib
import io
import marshal
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.cli import unchanged
from lamina.cli.unchanged import (
    LIFETIME,
    fingerprint,
    identity,
    load,
    memo_path,
    place,
    plan_key,
    qualify,
    qualify_plan,
)
from lamina.context.scan import open_root, scan
from lamina.dockerfile.ignore import parse_ignore
from lamina.workshop.parsing import store_root

SECOND = 1_000_000_000
ROOT = {"LAMINA_ROOT": "/nowhere/store"}


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())


# --- command lines ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["."],
        ["-t", "a", "--tag", "b", "--tag=c", "folder"],
        ["-f", "File", "--file=Other", "."],
        ["--build-arg", "A=1", "--build-arg=B=", "--label=x=y", "--label", "x=y"],
        ["--target", "t", "--platform=linux/arm64", "--network", "none", "--jobs=2", "--ca-certs", "none"],
        ["--progress", "plain", "--runtime=runc", "-q", "--quiet", "--root", "/elsewhere"],
    ],
)
def test_command_lines_that_qualify(words: list[str]) -> None:
    assert qualify(words, ROOT) is not None


@pytest.mark.parametrize(
    "words",
    [
        ["--no-cache"],
        ["--no-cache-filter", "a"],
        ["--pull"],
        ["-o", "type=tar,dest=x"],
        ["--output=type=tar,dest=x"],
        ["--iidfile", "x"],
        ["--metadata-file", "x"],
        ["--load"],
        ["--progress", "rawjson"],
        ["--progress=tty"],
        ["-f", "-"],
        ["--file=-"],
        ["--build-arg", "A"],
        ["--build-arg=A"],
        ["-tname"],
        ["-t=name"],
        ["-t"],
        ["-t", "--pull"],
        ["-q=1"],
        ["a", "b"],
        [""],
        ["--"],
        ["-"],
        ["--help"],
        ["--something-else", "x"],
        ["https://127.0.0.1/x.git"],
        ["git@127.0.0.1:x"],
        ["github.com/a/b"],
        ["--platform", "linux/amd64,linux/arm64"],
        ["--platform=linux/amd64", "--platform", "linux/arm64"],
        ["--secret", "id=x"],
        ["--ssh", "default"],
        ["--build-context", "x=."],
        ["--add-host", "a:1.2.3.4"],
        ["--ulimit", "nofile=1"],
        ["--shm-size=1m"],
        ["--allow", "network.host"],
        ["--annotation", "a=b"],
        ["--cache-mount-root", "x"],
    ],
)
def test_command_lines_that_always_take_the_ordinary_way(words: list[str]) -> None:
    assert qualify(words, ROOT) is None
    assert qualify([*words, "-q"], ROOT) is None


@pytest.mark.parametrize(
    ("plan", "build"),
    [
        ([], ["-t", "a", "-q", "."]),
        (["--json", "folder"], ["folder", "--label", "a=b", "--progress=plain", "--jobs", "3"]),
        (["-f", "File", "--observe"], ["--file=File"]),
        (["--budget", "60s", "--network=host"], ["--network", "host", "--ca-certs", "none", "--runtime=runc"]),
        (
            ["--build-arg", "A=1", "--target=t", "--build-arg=A=2"],
            ["--target", "t", "--build-arg=A=1", "--build-arg", "A=2"],
        ),
        (["--platform", "linux/arm64", "--modes", "git"], ["--modes=git", "--platform=linux/arm64", "--no-observe"]),
    ],
)
def test_a_plan_is_found_by_what_the_build_was_asked(plan: list[str], build: list[str]) -> None:
    found = qualify_plan(plan, ROOT)
    assert found is not None and found[0] == plan_key(build, ROOT)
    assert found[2] == ("--json" in plan)


@pytest.mark.parametrize(
    ("plan", "build"),
    [
        ([], ["./"]),
        (["--target=a"], []),
        (["--build-arg=A=1", "--build-arg=A=2"], ["--build-arg=A=2", "--build-arg=A=1"]),
        (["--network", "none"], ["--network", "host"]),
    ],
)
def test_what_differs_for_a_plan_is_in_its_key(plan: list[str], build: list[str]) -> None:
    found = qualify_plan(plan, ROOT)
    assert found is not None and found[0] != plan_key(build, ROOT)


@pytest.mark.parametrize(
    "words",
    [
        ["--no-cache"],
        ["--no-cache-filter", "a"],
        ["--cache-from", "type=local,src=x"],
        ["--no-shared-cache"],
        ["--pull"],
        ["--budget", "soon"],
        ["--budget", "1.5m"],
        ["--budget=-1"],
        ["--budget="],
        ["--budget", "9ms"],
        ["--budget"],
        ["--json=yes"],
        ["-t", "a"],
        ["-q"],
        ["--progress", "plain"],
        ["--source-date-epoch", "auto"],
        ["--reproducible"],
        ["--build-context", "x=."],
        ["--platform", "linux/amd64", "--platform", "linux/arm64"],
        ["-f", "-"],
        ["-"],
        ["--help"],
    ],
)
def test_plans_that_always_take_the_ordinary_way(words: list[str]) -> None:
    assert qualify_plan(words, ROOT) is None
    assert qualify_plan([*words, "--json"], ROOT) is None


def test_a_terminal_gets_the_ordinary_way_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert qualify(["."], ROOT) is None
    assert qualify(["--progress", "auto", "."], ROOT) is None
    assert qualify(["--progress", "plain", "."], ROOT) is not None
    assert qualify(["-q", "."], ROOT) is not None


def test_the_key_tells_apart_words_directories_stores_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {qualify(["."], ROOT), qualify(["-t", "a", "."], ROOT), qualify(["."], {"LAMINA_ROOT": "/nowhere/other"})}
    monkeypatch.chdir(tmp_path)
    keys.add(qualify(["."], ROOT))
    monkeypatch.setattr(unchanged, "__version__", "0.0.0")
    keys.add(qualify(["."], ROOT))
    assert len(keys) == 5
    assert None not in keys


def test_a_store_reached_through_a_link_is_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    given = [qualify(["--root", str(tmp_path / name)], {}) for name in ("real", "link")]
    assert given[0] is not None and given[1] is not None
    assert given[0][1] == given[1][1] == str(tmp_path / "real")


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("given", ["", "/given"])
@pytest.mark.parametrize(
    "variables", [{}, {"LAMINA_ROOT": "/variable"}, {"XDG_DATA_HOME": "/data"}, {"HOME": "/home/x"}]
)
def test_the_store_is_where_the_ordinary_way_finds_it(
    uid: int, given: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    for name in ("LAMINA_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert place(given, os.environ) == str(store_root(given or None))


# --- memo files ---------------------------------------------------------------------------------------------
def write_memo(root: Path, memo: dict[str, Any], *, checksum: str = "", mode: int = 0o600) -> None:
    data = marshal.dumps(memo)
    path = Path(memo_path(str(root), "k"))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((checksum or hashlib.sha256(data).hexdigest()).encode() + b"\n" + data)
    path.chmod(mode)


def test_a_memo_is_read_back_while_it_is_young(tmp_path: Path) -> None:
    memo = {"key": "k", "written": 5 * SECOND}
    write_memo(tmp_path, memo)
    assert load(str(tmp_path), "k", 5 * SECOND) == memo
    assert load(str(tmp_path), "k", (5 + LIFETIME) * SECOND - 1) == memo
    assert load(str(tmp_path), "k", (5 + LIFETIME) * SECOND) is None
    assert load(str(tmp_path), "k", 5 * SECOND - 1) is None, "the clock went back"


def test_a_memo_that_is_not_ours_or_damaged_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo = {"key": "k", "written": 0}
    write_memo(tmp_path, memo, mode=0o622)
    assert load(str(tmp_path), "k", 1) is None
    write_memo(tmp_path, memo, checksum="0" * 64)
    assert load(str(tmp_path), "k", 1) is None
    write_memo(tmp_path, {**memo, "key": "other"})
    assert load(str(tmp_path), "k", 1) is None
    write_memo(tmp_path, memo)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert load(str(tmp_path), "k", 1) is None


def test_a_memo_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    write_memo(tmp_path, {"key": "k", "written": 0})
    path = Path(memo_path(str(tmp_path), "k"))
    path.rename(path.with_name("real"))
    path.symlink_to("real")
    with pytest.raises(OSError, match="symbolic links"):
        load(str(tmp_path), "k", 1)


@pytest.mark.parametrize("memo", [{}, [], None, 3, {"key": "k"}, {"key": "k", "written": "x"}])
def test_whatever_stands_in_a_memo_replay_never_fails(memo: Any, tmp_path: Path) -> None:
    line = qualify(["."], {"LAMINA_ROOT": str(tmp_path)})
    assert line is not None
    write_memo(tmp_path, memo)
    Path(memo_path(str(tmp_path), "k")).rename(memo_path(str(tmp_path), line[0]))
    assert unchanged.replay("build", ["."], {"LAMINA_ROOT": str(tmp_path)}) is None


def test_any_byte_of_a_path_can_stand_in_the_index_address(tmp_path: Path) -> None:
    import sqlite3

    root = tmp_path / "a b?c#d%41é\udc80"
    root.mkdir()
    sqlite3.connect(os.fsencode(root / "index.db")).close()
    (root / "index.db").write_bytes(b"")
    address = f"file:{unchanged._quoted(str(root / 'index.db'))}?mode=ro"
    assert sqlite3.connect(address, uri=True).execute("PRAGMA user_version").fetchone() == (0,)


# --- what stat says ---------------------------------------------------------------------------------------------
IGNORE = b"*\n!keep/**/*.txt\n!a.txt\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    for name in ("a.txt", "b.txt", "keep/one.txt", "keep/deep/two.txt", "keep/deep/other.log", "out/x.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("12345")
    (top / "link").symlink_to("a.txt")
    return top


def visited(tree: Path) -> list[str]:
    descriptor = open_root(str(tree))
    try:
        return sorted(scan(descriptor, parse_ignore(IGNORE, ".dockerignore")).visited)
    finally:
        os.close(descriptor)


def test_the_scan_tells_the_directories_that_it_entered(tree: Path) -> None:
    assert visited(tree) == ["", "keep", "keep/deep"]


def same_stat(path: Path) -> None:
    before = path.stat()
    path.write_text("54321")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def become_file(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.write_text("")


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def replaced(path: Path) -> None:
    """The same files in another directory of the same name."""
    old = path.rename(path.with_name("old"))
    path.mkdir()
    for file in list(old.iterdir()):
        file.rename(path / file.name)
    old.rmdir()


EDITS: dict[str, Callable[[Path], object]] = {
    "content, with size and mtime restored": lambda tree: same_stat(tree / "a.txt"),
    "content deep below a negation": lambda tree: (tree / "keep/deep/two.txt").write_text("6"),
    "mode": lambda tree: (tree / "a.txt").chmod(0o600),
    "mode of a directory": lambda tree: (tree / "keep/deep").chmod(0o700),
    "rename": lambda tree: (tree / "a.txt").rename(tree / "c.txt"),
    "removed": lambda tree: (tree / "keep/one.txt").unlink(),
    "added below a negation": lambda tree: (tree / "keep/deep/new.txt").write_text(""),
    "an ignored directory added": lambda tree: (tree / "more").mkdir(),
    "an ignored directory became a file": lambda tree: become_file(tree / "out"),
    "added directory": lambda tree: (tree / "keep/new").mkdir(),
    "an ignored file": lambda tree: (tree / "b.txt").write_text("6"),
    "link re-pointed": lambda tree: relink(tree / "link", "b.txt"),
    "touch": lambda tree: os.utime(tree / "a.txt"),
    "an extended attribute": lambda tree: os.setxattr(tree / "a.txt", "user.x", b"1"),
    "a hard link to a file": lambda tree: os.link(tree / "a.txt", tree.parent / "outside"),
    "a replaced directory": lambda tree: replaced(tree / "keep/deep"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_every_edit_shows_in_the_fingerprint(tree: Path, edit: Callable[[Path], object]) -> None:
    directories = visited(tree)
    before = fingerprint(str(tree), directories, None)
    assert before == fingerprint(str(tree), reversed(directories), None)
    time.sleep(0.02)  # a tick of the kernel's clock; a memo keeps two seconds away from it
    edit(tree)
    assert fingerprint(str(tree), directories, None) != before


def test_what_the_scan_did_not_enter_does_not_count(tree: Path) -> None:
    directories = visited(tree)
    before = fingerprint(str(tree), directories, None)
    (tree / "out/x.txt").write_text("anything")
    (tree / "out/new").mkdir()
    (tree / "out").chmod(0o700)
    assert fingerprint(str(tree), directories, None) == before


def test_a_young_entry_stops_the_walk(tree: Path) -> None:
    directories = visited(tree)
    newest = max(path.lstat().st_ctime_ns for path in [tree, *tree.rglob("*")])
    assert fingerprint(str(tree), directories, newest) is None
    assert fingerprint(str(tree), directories, newest + 1) is not None
    os.utime(tree / "a.txt", ns=(0, newest + 100 * SECOND))  # from the future: the clocks disagree
    assert fingerprint(str(tree), directories, newest + 50 * SECOND) is None


def test_a_directory_that_became_a_link_is_an_error(tree: Path) -> None:
    directories = visited(tree)
    (tree / "keep").rename(tree.parent / "keep")
    (tree / "keep").symlink_to(tree.parent / "keep")
    with pytest.raises(OSError, match="Not a directory"):
        fingerprint(str(tree), directories, None)


def test_the_identity_of_a_file_follows_links_and_sees_where_they_lead(tree: Path) -> None:
    assert identity(str(tree / "absent")) is None
    before = identity(str(tree / "link"))
    assert before is not None and before[0] == str(tree / "a.txt")
    os.link(tree / "a.txt", tree / "twin.txt")
    before = identity(str(tree / "link"))
    (tree / "link").unlink()
    (tree / "link").symlink_to("twin.txt")
    assert identity(str(tree / "link")) != before
    (tree / "a.txt").chmod(random.Random(1).choice([0o600, 0o640]))
    assert identity(str(tree / "a.txt")) != before
