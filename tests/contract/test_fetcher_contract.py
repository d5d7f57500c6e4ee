"""What every `ports.Fetcher` promises: the real one over loopback, and the one in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.git_server import commit, running_git_server
from tests.support.web_server import Page, running_web_server

from lamina.context.fetch import Downloads
from lamina.diagnostics import BuildFailure
from lamina.plan.steps import GitSource, HttpSource
from lamina.ports.sources import Fetcher
from lamina.testing.outside import MemoryFetcher

FILE = b"content\n"
TREE = {"top": "1", "dir/in": "2", "dir-x": "3"}


@dataclass
class World:
    """A fetcher, the address of `FILE`, and that of a repository of `TREE`."""

    fetcher: Fetcher
    file: str
    repository: str


@pytest.fixture(params=["real", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "memory":
        memory = MemoryFetcher({})
        made = World(memory, "http://files.test/dir/name?x", "http://git.test/r.git")
        memory.files[made.file] = FILE
        memory.repositories[made.repository] = {path: text.encode() for path, text in TREE.items()}
        yield made
        return
    (tmp_path / "served").mkdir()
    with running_web_server() as web, running_git_server(tmp_path / "served") as server:
        web.pages["/dir/name"] = Page(FILE)
        commit(server.make("r"), TREE)
        yield World(Downloads(tmp_path / "root", "lamina/1", os.environ), web.url("/dir/name?x"), server.url("r"))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file(world: World) -> None:
    fetched = world.fetcher.http(HttpSource(world.file))
    (record,) = fetched.records
    assert (record.path, record.kind, record.mode, record.size) == ("name", "file", 0o600, len(FILE))
    assert (record.uid, record.gid, record.content) == (0, 0, sha256(FILE))
    assert fetched.identity == f"sha256:{sha256(FILE)}"
    assert world.fetcher.http(HttpSource(world.file)) == fetched
    assert world.fetcher.http(HttpSource(world.file, fetched.identity)) == fetched


def test_a_tree(world: World) -> None:
    fetched = world.fetcher.git(GitSource(world.repository))
    told = [(record.path, record.kind, record.mode, record.content) for record in fetched.records]
    assert told == [
        ("dir", "dir", 0o755, ""),
        ("dir-x", "file", 0o644, sha256(b"3")),
        ("dir/in", "file", 0o644, sha256(b"2")),
        ("top", "file", 0o644, sha256(b"1")),
    ]
    assert {(record.uid, record.gid) for record in fetched.records} == {(0, 0)}
    assert len(fetched.identity) == 40
    assert world.fetcher.git(GitSource(world.repository, checksum=fetched.identity[:7])) == fetched


def test_a_directory_of_a_tree(world: World) -> None:
    whole = world.fetcher.git(GitSource(world.repository))
    part = world.fetcher.git(GitSource(world.repository, subdir="dir"))
    assert [record.path for record in part.records] == ["in"]
    assert part.identity == whole.identity and part.root != whole.root


def test_what_is_not_there(world: World) -> None:
    with pytest.raises(BuildFailure) as raised:
        world.fetcher.http(HttpSource(world.file.replace("name", "none")))
    assert raised.value.diagnostic.reference == "fetch-not-found"
    with pytest.raises(BuildFailure) as raised:
        world.fetcher.git(GitSource(world.repository.replace("r.git", "none.git")))
    assert raised.value.diagnostic.reference.startswith("fetch-")


def test_what_is_not_what_was_asked_for(world: World) -> None:
    with pytest.raises(BuildFailure) as raised:
        world.fetcher.http(HttpSource(world.file, f"sha256:{sha256(b'other')}"))
    assert raised.value.diagnostic.reference == "fetch-checksum-mismatch"
    with pytest.raises(BuildFailure) as raised:
        world.fetcher.git(GitSource(world.repository, checksum="0" * 40))
    assert raised.value.diagnostic.reference == "fetch-checksum-mismatch"
