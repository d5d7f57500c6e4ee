"""What an unprivileged user cannot read: told when a step asks for it, and not before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.context.inspect import why
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import parse_ignore

NOBODY = 65534


def as_nobody(root: Path, action: Callable[[], str]) -> str:
    """Run `action` in a child without privileges whose working directory is `root`; what it returns or fails with."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(root)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                text = action()
            except BuildFailure as failure:
                told = failure.diagnostic
                text = f"{told.reference}: {told.message}: {told.cause}"
            os.write(write, text.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("public", "secret", "shut/file", "listed/file"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    tmp_path.chmod(0o755)
    (tmp_path / "secret").chmod(0)
    (tmp_path / "shut").chmod(0)
    (tmp_path / "listed").chmod(0o744)
    return tmp_path


def digest(*paths: str) -> Callable[[], str]:
    def action() -> str:
        with DirectoryContext(Path(".")) as context:
            return " ".join(record.content[:4] for record in context.digested(paths))

    return action


def test_other_files_build(root: Path) -> None:
    expected = hashlib.sha256(b"public").hexdigest()[:4]
    assert as_nobody(root, digest("public")) == expected


@pytest.mark.parametrize("path", ["secret", "shut", "listed"])
def test_asked_for(root: Path, path: str) -> None:
    assert (
        as_nobody(root, digest("public", path))
        == f"context-unreadable: cannot read '{path}' in the build context: Permission denied"
    )


def test_the_entries_name_what_can_be_seen(root: Path) -> None:
    def action() -> str:
        with DirectoryContext(Path(".")) as context:
            return " ".join(record.path for record in context.entries())

    assert as_nobody(root, action) == "listed public secret shut"


def test_why_tells_what_is_behind_a_closed_door(root: Path) -> None:
    def action() -> str:
        with DirectoryContext(Path(".")) as context:
            told = why(context.scanned, None, "shut/file")
            return f"{told.fate}: {told.cause}"

    assert as_nobody(root, action) == "unreadable: shut: Permission denied"


def test_a_source_behind_a_closed_door_is_not_just_missing(root: Path) -> None:
    def action() -> str:
        with DirectoryContext(Path(".")) as context:
            return str(context.hidden_by("shut/file"))

    assert as_nobody(root, action) == (
        "context-unreadable: cannot read 'shut/file' in the build context: shut: Permission denied"
    )


def test_an_ignored_closed_door_is_no_matter(root: Path) -> None:
    def action() -> str:
        rules = parse_ignore(b"shut\nlisted\n", ".dockerignore")
        with DirectoryContext(Path("."), rules=rules) as context:
            return " ".join(context.scanned.unreadable) + "|".join(record.path for record in context.entries())

    assert as_nobody(root, action) == "public|secret"


def test_a_root_that_cannot_be_read(root: Path) -> None:
    root.chmod(0o711)
    assert as_nobody(root, digest("public")).startswith("context-unreadable: cannot read '.' in the build context")
