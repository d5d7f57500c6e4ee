"""Which ignore file counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.context.ignore_file import load_rules
from lamina.diagnostics import BuildFailure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ctx"
    root.mkdir()
    (root / "Dockerfile").write_text("FROM scratch\n")
    return root


def test_none(root: Path) -> None:
    assert load_rules(root, root / "Dockerfile") is None
    assert load_rules(root, None) is None


def test_the_contexts_own(root: Path) -> None:
    (root / ".dockerignore").write_text("a\n")
    for dockerfile in (root / "Dockerfile", None):
        rules = load_rules(root, dockerfile)
        assert rules is not None
        assert (rules.excluded("a"), rules.excluded("b")) == (True, False)


def test_the_dockerfiles_own_replaces_it(root: Path, tmp_path: Path) -> None:
    (root / ".dockerignore").write_text("a\n")
    (tmp_path / "other.Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "other.Dockerfile.dockerignore").write_text("b\n")
    rules = load_rules(root, tmp_path / "other.Dockerfile")
    assert rules is not None
    assert (rules.excluded("a"), rules.excluded("b")) == (False, True)
    first = load_rules(root, root / "Dockerfile")
    assert first is not None
    assert first.excluded("a")


def test_an_empty_one_replaces_too(root: Path) -> None:
    (root / ".dockerignore").write_text("a\n")
    (root / "Dockerfile.dockerignore").write_text("")
    rules = load_rules(root, root / "Dockerfile")
    assert rules is not None
    assert not rules.excluded("a")


def test_it_may_exclude_itself(root: Path) -> None:
    (root / ".dockerignore").write_text("*\n")
    rules = load_rules(root, root / "Dockerfile")
    assert rules is not None
    assert rules.excluded(".dockerignore")
    assert rules.excluded("Dockerfile")


def test_a_link_inside_the_context_is_followed(root: Path) -> None:
    (root / "real").write_text("a\n")
    (root / ".dockerignore").symlink_to("real")
    rules = load_rules(root, None)
    assert rules is not None
    assert rules.excluded("a")


def test_a_link_out_of_the_context_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password\n")
    (root / ".dockerignore").symlink_to("../secret")
    with pytest.raises(BuildFailure, match="leaves the build context") as caught:
        load_rules(root, None)
    assert caught.value.diagnostic.reference == "context-ignore-file"
    assert "password" not in str(caught.value.diagnostic)


def test_a_directory_is_no_ignore_file(root: Path) -> None:
    (root / ".dockerignore").mkdir()
    with pytest.raises(BuildFailure, match="cannot read the ignore file"):
        load_rules(root, None)


def test_a_huge_file_is_no_ignore_file(root: Path) -> None:
    (root / ".dockerignore").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(BuildFailure, match="larger than 1 MiB"):
        load_rules(root, None)


def test_a_pipe_does_not_hang(root: Path) -> None:
    os.mkfifo(root / ".dockerignore")
    rules = load_rules(root, None)
    assert rules is not None
    assert not rules.excluded("a")
