"""A repository's log as values: what each commit has, and what can be said where it has nothing to say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.git_server import commit, git

from lamina.advise.past import History
from lamina.context.checkout import Unanswered
from lamina.diagnostics import BuildFailure
from lamina.history.files import write_tree
from lamina.history.log import contents, read_history
from lamina.keys.filetree import FileRecord


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    tree = tmp_path / "repository"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main")
    return tree


def after(history: History, count: int) -> dict[str, FileRecord]:
    """The tree after so many commits."""
    return History(history.start_id, history.start, history.commits[:count]).head()


def as_git_says(tree: Path, revision: str, folder: str = "") -> dict[str, tuple[str, str]]:
    """Path → mode and blob of a commit, asked for one by one."""
    listed = git(tree, "ls-tree", "-r", "-z", f"{revision}:{folder}" if folder else revision)
    lines = [line for line in listed.split("\0") if line]
    return {line.partition("\t")[2]: (line[:6], line.split()[2].partition("\t")[0]) for line in lines}


def plain(tree: dict[str, FileRecord]) -> dict[str, tuple[str, str]]:
    """Records as git tells them, links by their target."""
    modes = {0o644: "100644", 0o755: "100755"}
    return {
        path: ("120000", record.target) if record.kind == "link" else (modes[record.mode], record.content)
        for path, record in tree.items()
    }


def expected(tree: Path, revision: str, folder: str = "") -> dict[str, tuple[str, str]]:
    return {
        path: (mode, git(tree, "cat-file", "blob", blob) if mode == "120000" else blob)
        for path, (mode, blob) in as_git_says(tree, revision, folder).items()
    }


def test_every_tree_is_what_git_has(repository: Path) -> None:
    """Changes of contents and modes, renames, deletions, links, a file that becomes a folder, odd names, a merge."""
    tree = repository
    commit(tree, {"a": "1", "sub/b": "1", "sub/deep/c": "1"})
    commit(tree, {"a": "2", "new\nline": "x", "\1odd :name": "x", "sub/täst": "x"})
    (tree / "a").chmod(0o755)
    os.symlink("sub/b", tree / "link")
    commit(tree, {})
    git(tree, "mv", "sub/b", "moved")
    commit(tree, {})
    (tree / "moved").unlink()
    commit(tree, {"moved/inside": "x"})
    git(tree, "checkout", "-q", "-b", "side")
    commit(tree, {"side": "1"})
    commit(tree, {"side": "2", "a": "side"})
    git(tree, "checkout", "-q", "main")
    commit(tree, {"sub/b": "main"})
    git(tree, "merge", "-q", "--no-ff", "-m", "merge", "side")
    (tree / "link").unlink()
    os.symlink("a", tree / "link")
    commit(tree, {})

    history = read_history(tree, limit=100)
    line = git(tree, "rev-list", "--first-parent", "--reverse", "HEAD").split()
    assert [history.start_id, *(one.id for one in history.commits)] == line
    for count, revision in enumerate(line):
        assert plain(after(history, count)) == expected(tree, revision)
    assert history.own_git and history.notes == ()
    few = read_history(tree, limit=2)
    assert [one.id for one in few.commits] == line[-2:] and few.start_id == line[-3]
    assert plain(few.head()) == expected(tree, "HEAD")


def test_a_context_in_a_folder_of_the_repository(repository: Path) -> None:
    commit(repository, {"top": "1", "app/a": "1", "app/in/b": "1"})
    commit(repository, {"top": "2"})
    touched = commit(repository, {"app/a": "2"})
    commit(repository, {"top": "3"})
    history = read_history(repository / "app", limit=10)
    assert [one.id for one in history.commits] == [touched] and not history.own_git
    assert plain(history.head()) == expected(repository, "HEAD", "app")
    assert history.commits[0].subject == "change"


def test_since_a_revision_or_a_date(repository: Path) -> None:
    commit(repository, {"a": "1"})
    second = commit(repository, {"a": "2"})
    commit(repository, {"a": "3"})
    commit(repository, {"a": "4"})
    assert len(read_history(repository, limit=10, since=second).commits) == 2
    assert len(read_history(repository, limit=10, since="HEAD~1").commits) == 1
    assert len(read_history(repository, limit=10, since="2 days ago").commits) == 3
    with pytest.raises(BuildFailure, match="no history"):
        read_history(repository, limit=10, since="HEAD")
    for word in ("nonsense", "--output=/tmp/x", "HEAD~99"):
        with pytest.raises(BuildFailure) as caught:
            read_history(repository, limit=10, since=word)
        assert caught.value.diagnostic.reference == "usage-bad-arguments"


def test_a_shallow_clone_says_what_is_missing(repository: Path, tmp_path: Path) -> None:
    for number in range(6):
        commit(repository, {"a": str(number)})
    git(tmp_path, "clone", "-q", "--depth", "4", f"file://{repository}", "clone")
    history = read_history(tmp_path / "clone", limit=10)
    assert len(history.commits) == 3
    assert "knows 3 of the 10 commits" in history.notes[0] and "--unshallow" in history.notes[0]
    assert read_history(tmp_path / "clone", limit=2).notes == ()
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "one")
    with pytest.raises(BuildFailure) as caught:
        read_history(tmp_path / "one", limit=10)
    assert "shallow" in (caught.value.diagnostic.cause or "") and "--unshallow" in (caught.value.diagnostic.hint or "")


def test_what_has_no_history(repository: Path, tmp_path: Path) -> None:
    for folder, cause in ((tmp_path, "not in a git checkout"), (repository, "no commits yet")):
        with pytest.raises(BuildFailure) as caught:
            read_history(folder, limit=10)
        assert caught.value.diagnostic.reference == "context-no-history"
        assert cause in (caught.value.diagnostic.cause or "")
    commit(repository, {"a": "1"})
    (repository / "untracked").mkdir()
    for folder, cause in ((repository, "a single commit"), (repository / "untracked", "no commit touches it")):
        with pytest.raises(BuildFailure) as caught:
            read_history(folder, limit=10)
        assert cause in (caught.value.diagnostic.cause or "")


def test_a_submodule_is_known_by_its_commit(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    first = commit(other, {"x": "1"})
    commit(repository, {"a": "1"})
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "module")
    commit(repository, {})
    history = read_history(repository, limit=10)
    assert history.head()["module"].content == first
    assert "submodules" in history.notes[0] and "module" in history.notes[0]
    write_tree(repository, "HEAD", tmp_path / "out")
    assert list((tmp_path / "out" / "module").iterdir()) == []


def test_a_commit_is_written_as_it_was(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"a": "1", "in/deep/b": "ü\n", "run.sh": "#!/bin/sh\n"})
    (repository / "run.sh").chmod(0o755)
    os.symlink("../a", repository / "in" / "link")
    wanted = commit(repository, {})
    commit(repository, {"a": "2"})
    write_tree(repository, wanted, tmp_path / "out")
    assert (tmp_path / "out/a").read_text() == "1" and (tmp_path / "out/in/deep/b").read_text() == "ü\n"
    assert os.access(tmp_path / "out/run.sh", os.X_OK) and not os.access(tmp_path / "out/a", os.X_OK)
    assert os.readlink(tmp_path / "out/in/link") == "../a"
    write_tree(repository / "in", wanted, tmp_path / "part")
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == ["deep", "link"]


@pytest.mark.parametrize("name", ["..", ".git", "."])
def test_a_hostile_tree_leads_nowhere(repository: Path, tmp_path: Path, name: str) -> None:
    commit(repository, {"a": "1"})
    blob = git(repository, "rev-parse", "HEAD:a")
    raw = b"100644 evil\0" + bytes.fromhex(blob)
    inner = _hash(repository, raw)
    outer = _hash(repository, f"40000 {name}\0".encode() + bytes.fromhex(inner))
    bad = git(repository, "commit-tree", outer, "-m", "bad")
    with pytest.raises(BuildFailure, match="cannot be written"):
        write_tree(repository, bad, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def _hash(repository: Path, raw: bytes) -> str:
    path = repository / ".git" / "made"
    path.write_bytes(raw)
    return git(repository, "hash-object", "--literally", "-t", "tree", "-w", str(path))


def test_blobs_that_are_not_there_are_left_out(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"a": "one\ntwo"})
    blob = git(repository, "rev-parse", "HEAD:a")
    assert contents(repository, [blob, "0" * 40]) == {blob: b"one\ntwo"}
    assert contents(repository, []) == {}
    with pytest.raises(Unanswered):
        contents(tmp_path, [blob])
