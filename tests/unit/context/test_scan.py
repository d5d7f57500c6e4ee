"""The walk over a context directory, on real directories."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path

import pytest

from lamina.context.identity import identity_of
from lamina.context.scan import Scan, open_root, scan
from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import parse_ignore


def scanned(root: Path, ignore: str | None = None) -> Scan:
    descriptor = open_root(str(root))
    try:
        return scan(descriptor, parse_ignore(ignore.encode(), ".dockerignore") if ignore is not None else None)
    finally:
        os.close(descriptor)


def paths(root: Path, ignore: str | None = None) -> list[str]:
    return [record.path for record in scanned(root, ignore).records]


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name)
    return root


def test_every_kind_is_described(tmp_path: Path) -> None:
    tree(tmp_path, "file", "dir/", "dir/inner")
    (tmp_path / "file").chmod(0o4750)
    (tmp_path / "dir").chmod(0o1777)
    (tmp_path / "link").symlink_to("../outside")
    os.mkfifo(tmp_path / "pipe", 0o640)
    os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    (tmp_path / "null").chmod(0o666)
    (tmp_path / "pipe").chmod(0o640)
    found = {record.path: record for record in scanned(tmp_path).records}
    assert list(found) == ["dir", "dir/inner", "file", "link", "null", "pipe"]
    assert (found["file"].kind, found["file"].mode, found["file"].size) == ("file", 0o4750, 4)
    assert (found["dir"].kind, found["dir"].mode, found["dir"].size) == ("dir", 0o1777, 0)
    assert (found["link"].kind, found["link"].target) == ("link", "../outside")
    assert (found["pipe"].kind, found["pipe"].mode) == ("fifo", 0o640)
    assert (found["null"].kind, found["null"].target) == ("char", "1:3")
    assert not any(record.content or record.uid or record.gid for record in found.values())


def test_identities_stand_beside_the_records(tmp_path: Path) -> None:
    result = scanned(tree(tmp_path, "b", "a/x", "a-b"))
    for record, identity in zip(result.records, result.identities, strict=True):
        assert identity == identity_of((tmp_path / record.path).lstat())


def test_sorted_by_path_not_by_directory(tmp_path: Path) -> None:
    assert paths(tree(tmp_path, "a/x", "a-b", "a0", "B")) == ["B", "a", "a-b", "a/x", "a0"]


def test_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree(tmp_path, "file"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert paths(tmp_path) == ["file"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, "out/secret", "ctx/file")
    (tmp_path / "ctx/leak").symlink_to("../out")
    (tmp_path / "ctx/loop").symlink_to(".")
    assert paths(tmp_path / "ctx") == ["file", "leak", "loop"]


def test_a_link_to_the_context_itself_is_fine(tmp_path: Path) -> None:
    tree(tmp_path, "real/file")
    (tmp_path / "named").symlink_to("real")
    assert paths(tmp_path / "named") == ["file"]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(raw)).write_text("x")
    (path,) = paths(tmp_path)
    assert os.fsencode(path) == b"caf\xe9"


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        ("", ["a", "a/b", "a/b/c", "a/d", "e"]),
        ("a", ["e"]),
        ("a/b", ["a", "a/d", "e"]),
        ("*", []),
        ("*\n!a/b/c", ["a", "a/b", "a/b/c"]),
        ("a/**", ["a", "e"]),
        ("a\n!a/d", ["a", "a/d", "e"]),
        ("*\n!nothing/here", []),
    ],
)
def test_ignore_rules(tmp_path: Path, ignore: str, expected: list[str]) -> None:
    assert paths(tree(tmp_path, "a/b/c", "a/d", "e"), ignore) == expected


def test_the_mode_of_an_excluded_parent_is_kept(tmp_path: Path) -> None:
    tree(tmp_path, "a/b")
    (tmp_path / "a").chmod(0o700)
    first = scanned(tmp_path, "a\n!a/b").records[0]
    assert (first.path, first.mode) == ("a", 0o700)


def test_an_excluded_directory_is_not_even_opened(tmp_path: Path) -> None:
    tree(tmp_path, "node_modules/deep/file", "kept")
    before = (tmp_path / "node_modules").stat().st_atime_ns
    os.utime(tmp_path / "node_modules", ns=(1, 1))
    assert paths(tmp_path, "node_modules") == ["kept"]
    assert (tmp_path / "node_modules").stat().st_atime_ns == 1 != before


def test_a_deep_tree_needs_few_descriptors(tmp_path: Path) -> None:
    tmp_path.joinpath(*["d"] * 200).mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 10, hard))
    try:
        assert len(paths(tmp_path)) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("name", "reference"), [("missing", "context-not-found"), ("file", "context-not-a-directory")])
def test_unusable_contexts(tmp_path: Path, name: str, reference: str) -> None:
    tree(tmp_path, "file")
    with pytest.raises(BuildFailure) as caught:
        open_root(str(tmp_path / name))
    assert caught.value.diagnostic.reference == reference
    assert name in caught.value.diagnostic.message
