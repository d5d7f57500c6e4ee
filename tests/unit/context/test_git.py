"""Trees of git repositories: real ones, over HTTP."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.git_server import GitServer, commit, git, running_git_server
from tests.support.ports import closed_port

from lamina.context.downloading import Bounds
from lamina.context.fetch import Downloads
from lamina.diagnostics import BuildFailure
from lamina.plan.steps import GitSource
from lamina.ports.sources import Fetched

QUICK = Bounds(connect_seconds=5, idle_seconds=5, pauses=())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    (tmp_path / "served").mkdir()
    with running_git_server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def downloads(root: Path) -> Downloads:
    return Downloads(root, "lamina/1", os.environ, QUICK)


def failure(fetch: Callable[[], object]) -> str:
    """Everything that a failure tells."""
    with pytest.raises(BuildFailure) as raised:
        fetch()
    told = raised.value.diagnostic
    return f"{told.reference}: {told.message}: {told.cause}: {told.hint}"


def paths(fetched: Fetched) -> list[str]:
    return [record.path for record in fetched.records]


def text(fetched: Fetched, path: str) -> str:
    return (fetched.root / path).read_text()


def test_a_tree_has_plain_files_sorted_and_digested(downloads: Downloads, server: GitServer) -> None:
    tree = server.make("r")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o777)
    (tree / "secret").write_text("x")
    (tree / "secret").chmod(0o600)
    (tree / "link").symlink_to("../out")
    (tree / os.fsdecode(b"\xff")).write_text("y")
    head = commit(tree, {"a/b": "1", "a-b": "2"})
    before = os.umask(0o077)
    try:
        fetched = downloads.git(GitSource(server.url("r")))
    finally:
        os.umask(before)
    assert fetched.identity == head
    told = [(record.path, record.kind, record.mode, record.target) for record in fetched.records]
    assert told == [
        ("a", "dir", 0o755, ""),
        ("a-b", "file", 0o644, ""),
        ("a/b", "file", 0o644, ""),
        ("link", "link", 0o777, "../out"),
        ("run", "file", 0o755, ""),
        ("secret", "file", 0o644, ""),
        ("\udcff", "file", 0o644, ""),
    ]
    assert {record.content for record in fetched.records if record.path == "a-b"} == {hashlib.sha256(b"2").hexdigest()}
    assert fetched.root.stat().st_mode & 0o777 == 0o755
    assert downloads.git(GitSource(server.url("r"))) == fetched


def test_every_way_to_name_a_commit(downloads: Downloads, server: GitServer) -> None:
    tree = server.make("r")
    first = commit(tree, {"f": "1"})
    git(tree, "tag", "light")
    git(tree, "tag", "-a", "-m", "x", "heavy")
    git(tree, "tag", "both")
    second = commit(tree, {"f": "2"})
    git(tree, "branch", "feature/x")
    git(tree, "branch", "both")
    third = commit(tree, {"f": "3"})
    git(tree, "update-ref", "refs/pull/1/head", third)
    git(tree, "checkout", "-q", "-b", "next")
    fourth = commit(tree, {"f": "4"})
    expected = {
        "": fourth,
        "HEAD": fourth,
        "main": third,
        "light": first,
        "heavy": first,
        "both": second,
        "tags/both": first,
        "feature/x": second,
        "refs/heads/main": third,
        "refs/tags/heavy": first,
        "refs/pull/1/head": third,
        "pull/1/head": third,
        first: first,
        second[:9]: second,
    }
    found = {ref: downloads.git(GitSource(server.url("r"), ref)).identity for ref in expected}
    assert found == expected


@pytest.mark.parametrize("kind", ["old", "simple"])
def test_servers_that_give_no_single_commits(downloads: Downloads, server: GitServer, kind: str) -> None:
    tree = server.make("r")
    first = commit(tree, {"f": "1"})
    commit(tree, {"f": "2"})
    commit(tree, {"f": "3"})
    setattr(server, kind, True)
    url = server.url("r")
    assert text(downloads.git(GitSource(url)), "f") == "3"
    assert text(downloads.git(GitSource(url, first)), "f") == "1"


def test_a_commit_that_is_there_asks_nobody(downloads: Downloads, server: GitServer) -> None:
    tree = server.make("r")
    head = commit(tree, {"f": "1"})
    source = GitSource(server.url("r"), head)
    fetched = downloads.git(source)
    server.requests = 0
    assert downloads.git(source) == fetched
    assert downloads.git(GitSource(server.url("r"), head, keep_git_dir=True)).root != fetched.root
    shutil.rmtree(fetched.root.parent)
    assert downloads.git(source) == fetched
    assert server.requests == 0


def test_a_branch_that_moved_is_seen(downloads: Downloads, server: GitServer) -> None:
    tree = server.make("r")
    commit(tree, {"f": "1"})
    source = GitSource(server.url("r"), "main")
    assert text(downloads.git(source), "f") == "1"
    head = commit(tree, {"f": "2"})
    fetched = downloads.git(source)
    assert (fetched.identity, text(fetched, "f")) == (head, "2")
    git(tree, "commit", "-q", "--amend", "-m", "rewritten")
    assert downloads.git(source).identity == git(tree, "rev-parse", "HEAD") != head


def test_a_checksum_is_the_commit_or_its_beginning(downloads: Downloads, server: GitServer, root: Path) -> None:
    tree = server.make("r")
    head = commit(tree, {"f": "1"})
    wrong = "0" * 40
    for source in (GitSource(server.url("r"), checksum=wrong), GitSource(server.url("r"), head, checksum=wrong[:8])):
        told = failure(lambda source=source: downloads.git(source))  # type: ignore[misc]
        assert told.startswith("fetch-checksum-mismatch") and head in told and source.checksum in told
    assert not list(root.glob("tree-*"))
    for checksum in (head, head[:8]):
        assert downloads.git(GitSource(server.url("r"), checksum=checksum)).identity == head


def test_a_directory_of_it(downloads: Downloads, server: GitServer) -> None:
    tree = server.make("r")
    (tree / "in").symlink_to("a/b")
    (tree / "out").symlink_to("../..")
    (tree / "abs").symlink_to("/etc")
    (tree / "ring").symlink_to("ring")
    commit(tree, {"a/b/f": "1", "a/b/d/g": "2", "a/bc": "3"})
    for subdir in ("a/b", "/a/b/", "a/./b", "in"):
        fetched = downloads.git(GitSource(server.url("r"), subdir=subdir))
        assert (paths(fetched), text(fetched, "d/g")) == (["d", "d/g", "f"], "2")
    for subdir in ("none", "a/bc", "out", "abs", "..", "a/../..", "ring", "x\0y", "../tree-x"):
        told = failure(lambda subdir=subdir: downloads.git(GitSource(server.url("r"), subdir=subdir)))  # type: ignore[misc]
        assert told.startswith("fetch-git-subdir")


def test_the_git_directory_is_kept_if_asked(downloads: Downloads, server: GitServer, tmp_path: Path) -> None:
    head = commit(server.make("r"), {"f": "1"})
    server.user = "me:secret"
    fetched = downloads.git(GitSource(server.url("r", "me:secret"), keep_git_dir=True))
    assert ".git/HEAD" in paths(fetched)
    assert not {".git/logs", ".git/hooks", ".git/FETCH_HEAD"}.intersection(paths(fetched))
    assert git(fetched.root, "-c", f"safe.directory={fetched.root}", "rev-parse", "HEAD") == head
    for path in fetched.root.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert b"secret" not in content and os.fsencode(tmp_path) not in content, path
    assert git(fetched.root, "-c", f"safe.directory={fetched.root}", "remote", "get-url", "origin") == server.url("r")


def test_submodules(downloads: Downloads, server: GitServer) -> None:
    allow = ("-c", "protocol.file.allow=always")
    inner, middle, outer = server.make("inner"), server.make("middle"), server.make("outer")
    commit(inner, {"deep": "1"})
    commit(middle, {"m": "2"})
    git(middle, *allow, "submodule", "--quiet", "add", "--", str(inner), "in")
    git(middle, "config", "-f", ".gitmodules", "submodule.in.url", "../inner.git")
    commit(middle, {"m": "3"})
    git(outer, *allow, "submodule", "--quiet", "add", "--", str(middle), "mid")
    git(outer, "config", "-f", ".gitmodules", "submodule.mid.url", "../middle.git")
    commit(outer, {"o": "4"})
    commit(middle, {"m": "later"})
    server.user = "me:secret"
    url = server.url("outer", "me:secret")
    fetched = downloads.git(GitSource(url))
    assert paths(fetched) == [".gitmodules", "mid", "mid/.gitmodules", "mid/in", "mid/in/deep", "mid/m", "o"]
    assert text(fetched, "mid/m") == "3"
    assert paths(downloads.git(GitSource(url, submodules=False))) == [".gitmodules", "mid", "o"]
    kept = downloads.git(GitSource(url, keep_git_dir=True))
    assert "mid/.git" in paths(kept)
    for path in kept.root.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes(), path
    server.old = True
    git(outer, "commit", "-q", "--allow-empty", "-m", "again")
    assert text(downloads.git(GitSource(url)), "mid/m") == "3"


def test_a_submodule_of_this_machine_is_refused(downloads: Downloads, server: GitServer, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    git(private, "init", "-q")
    commit(private, {"key": "1"})
    tree = server.make("r")
    git(tree, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--", str(private), "sub")
    commit(tree, {"f": "1"})
    told = failure(lambda: downloads.git(GitSource(server.url("r"))))
    assert told.startswith("fetch-failed") and "not allowed" in told
    assert not list((tmp_path / "root").glob("[td]*-*"))


@pytest.mark.parametrize("written", ["file://{}", "{}", "ext::git upload-pack {}", "--upload-pack={}"])
def test_other_protocols_are_refused(downloads: Downloads, server: GitServer, written: str) -> None:
    tree = server.make("r")
    commit(tree, {"f": "1"})
    assert failure(lambda: downloads.git(GitSource(written.format(tree)))).startswith("fetch-failed")


def test_the_user_s_habits_change_nothing(server: GitServer, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    home, here = tmp_path / "home", tmp_path / "here"
    template = home / "template" / "hooks"
    template.mkdir(parents=True)
    (template / "post-checkout").write_text(f"#!/bin/sh\ntouch {trap}\n")
    (template / "post-checkout").chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\nautocrlf = true\nhooksPath = {template}\nfsmonitor = touch {trap}\n[init]\ntemplateDir = "
        f'{template.parent}\n[filter "x"]\nsmudge = touch {trap}; cat\nrequired = true\n'
    )
    # A store inside a repository that somebody else made.
    here.mkdir()
    git(here, "init", "-q")
    with (here / ".git" / "config").open("a") as config:
        config.write(f'[credential]\nhelper = "!touch {trap}"\n[url "http://127.0.0.1:1/"]\ninsteadOf = http://\n')
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere"}
    downloads = Downloads(here / "root", "lamina/1", environ, QUICK)
    commit(server.make("r"), {"f": "1\n", ".gitattributes": "* text filter=x\n"})
    assert text(downloads.git(GitSource(server.url("r"))), "f") == "1\n"
    server.user = "me:secret"
    assert failure(lambda: downloads.git(GitSource(server.url("r")))).startswith("fetch-failed")
    assert not trap.exists()
    (home / ".gitconfig").write_text(f'[credential "http://{server.host}"]\nhelper = store\n')
    (home / ".git-credentials").write_text(f"http://me:secret@{server.host}\n")
    downloads = Downloads(here / "root", "lamina/1", environ, QUICK)
    assert text(downloads.git(GitSource(server.url("r"))), "f") == "1\n"


def test_what_is_missing_is_told(downloads: Downloads, server: GitServer, root: Path) -> None:
    head = commit(server.make("r"), {"f": "1"})
    server.make("empty")
    for ref in ("gone", "-x", "abcdef1", "a b", "*", "refs/heads/*", "0" * 40):
        told = failure(partial(downloads.git, GitSource(server.url("r"), ref)))
        assert told.startswith("fetch-git-ref") and ref in told
    assert failure(lambda: downloads.git(GitSource(server.url("empty")))).startswith("fetch-git-ref")
    assert failure(lambda: downloads.git(GitSource(server.url("none")))).startswith("fetch-failed")
    with closed_port() as port:
        for ref in ("", head):
            nobody = GitSource(f"http://me:secret@127.0.0.1:{port}/x.git", ref)
            told = failure(partial(downloads.git, nobody))
            assert told.startswith("fetch-failed") and "onnect" in told and "secret" not in told
    assert not list(root.glob("tree-*"))
    for path in root.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes()


def test_git_that_is_missing_is_told(tmp_path: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    downloads = Downloads(tmp_path / "root", "lamina/1", {"PATH": str(tmp_path)}, QUICK)
    told = failure(lambda: downloads.git(GitSource(server.url("r"))))
    assert told.startswith("fetch-no-git") and "install git" in told


def test_what_a_killed_git_left_does_not_matter(downloads: Downloads, server: GitServer, root: Path) -> None:
    tree = server.make("r")
    commit(tree, {"f": "1"})
    source = GitSource(server.url("r"))
    downloads.git(source)
    head = commit(tree, {"f": "2"})
    (repository,) = root.glob("repo-*[!k]")
    for name in ("shallow.lock", "config.lock", "HEAD.lock", "refs/heads/x.lock"):
        (repository / name).parent.mkdir(exist_ok=True, parents=True)
        (repository / name).touch()
    (root / f"draft-{head}" / "tree").mkdir(parents=True)
    assert text(downloads.git(source), "f") == "2"


def test_lost_records_are_made_again(downloads: Downloads, server: GitServer) -> None:
    commit(server.make("r"), {"f": "1"})
    fetched = downloads.git(GitSource(server.url("r")))
    records = fetched.root.parent / "records"
    for damage in (b"", b"\x81", b"\x91\x01"):
        records.write_bytes(damage)
        assert downloads.git(GitSource(server.url("r"))) == fetched
    records.unlink()
    assert downloads.git(GitSource(server.url("r"))) == fetched


def test_together(server: GitServer, root: Path) -> None:
    head = commit(server.make("r"), {"f": "1"})
    found: list[str] = []

    def fetch() -> None:
        found.append(Downloads(root, "lamina/1", os.environ, QUICK).git(GitSource(server.url("r"))).identity)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [head] * 4
    assert len(list(root.glob("tree-*"))) == 1 and not list(root.glob("draft-*"))
