"""What every `ports.ContextReader` promises: the real directory and the one in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.dockerfile.ignore import parse_ignore
from lamina.ports.sources import ContextReader
from lamina.testing.context import MemoryContext

FILES = {"app/main.py": b"print()\n", "app/empty": b"", "top": b"\0\xff"}
HIDDEN = {"build.log": "*.log (.dockerignore:2)"}
Edit = Callable[[str, bytes], None]


@pytest.fixture(params=["directory", "cached", "memory"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ContextReader, Edit]:
    if request.param == "memory":
        memory = MemoryContext(FILES, links={"link": "top"}, dirs=["bare"], modes={"top": 0o755}, hidden=HIDDEN)
        return memory, memory.files.__setitem__
    root = tmp_path / "root"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "bare").mkdir()
    (root / "link").symlink_to("top")
    (root / "top").chmod(0o755)
    cache = tmp_path / "cache" if request.param == "cached" else None

    def edit(name: str, data: bytes) -> None:
        (root / name).write_bytes(data)

    return DirectoryContext(root, rules=parse_ignore(b"\n*.log\n", ".dockerignore"), cache=cache), edit


def test_entries(made: tuple[ContextReader, Edit]) -> None:
    context, _ = made
    assert [(record.path, record.kind, record.mode, record.size, record.target) for record in context.entries()] == [
        ("app", "dir", 0o755, 0, ""),
        ("app/empty", "file", 0o644, 0, ""),
        ("app/main.py", "file", 0o644, 8, ""),
        ("bare", "dir", 0o755, 0, ""),
        ("link", "link", 0o777, 0, "top"),
        ("top", "file", 0o755, 2, ""),
    ]
    assert not any(record.content for record in context.entries())


def test_digested(made: tuple[ContextReader, Edit]) -> None:
    context, _ = made
    found = context.digested(["top", "app", "app/empty", "link"])
    assert [record.path for record in found] == ["top", "app", "app/empty", "link"]
    assert [record.content for record in found] == [
        hashlib.sha256(FILES["top"]).hexdigest(),
        "",
        hashlib.sha256(b"").hexdigest(),
        "",
    ]
    with pytest.raises(KeyError):
        context.digested(["nothing"])


def test_open(made: tuple[ContextReader, Edit]) -> None:
    context, _ = made
    for record in context.digested(list(FILES)):
        with context.open(record) as file:
            assert file.read() == FILES[record.path]


def test_an_edit_after_digesting_is_noticed(made: tuple[ContextReader, Edit]) -> None:
    context, edit = made
    (record,) = context.digested(["app/main.py"])
    edit("app/main.py", b"PRINT()\n")
    with pytest.raises(BuildFailure) as caught, context.open(record) as file:
        file.read()
    assert caught.value.diagnostic.reference == "context-changed"
    assert "app/main.py" in caught.value.diagnostic.message


def test_the_first_digest_stands(made: tuple[ContextReader, Edit]) -> None:
    context, edit = made
    before = context.digested(["top"])
    edit("top", b"new")
    assert context.digested(["top"]) == before


def test_mtime(made: tuple[ContextReader, Edit]) -> None:
    context, _ = made
    assert context.mtime_ns("app/main.py") > 10**18 - 1
    with pytest.raises(KeyError):
        context.mtime_ns("nothing")


def test_hidden_by(made: tuple[ContextReader, Edit]) -> None:
    context, _ = made
    assert context.hidden_by("build.log") == "*.log (.dockerignore:2)"
    assert context.hidden_by("missing") is None
    assert context.hidden_by("top") is None
