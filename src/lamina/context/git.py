"""A tree of a git repository (Dockerfile reference, "ADD <git repository>").

Objects are kept in one bare repository an address, trees by commit: a commit that was checked out before needs no
network. Files of git-lfs stay the pointers that they are.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
from pathlib import Path
from tempfile import mkdtemp

from msgspec.structs import replace

from lamina.context.downloading import alone
from lamina.context.gitprogram import Git
from lamina.context.trees import describe, recall, remember
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.plan.steps import GitSource
from lamina.ports.sources import Fetched

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SHORT = re.compile(r"[0-9a-f]{7,64}\Z")
_QUIET_FETCH = ("fetch", "-q", "--no-tags")


def checkout(source: GitSource, root: Path, git: Git) -> Fetched:
    """Have the tree of a repository below `root`. Raises OSError, and BuildFailure `fetch-no-git`, `fetch-git-ref`,
    `fetch-git-subdir`, `fetch-checksum-mismatch`, `fetch-failed`."""
    # By the address with its password: who does not know that shall not find what was fetched with it.
    address = hashlib.sha256(source.url.encode("utf-8", "surrogateescape")).hexdigest()
    repository = root / f"repo-{address}"
    with alone(repository.with_suffix(".lock")):
        commit, name = (source.ref, "") if _COMMIT.match(source.ref) else _resolve(git, source.ref, repository)
        if not commit.startswith(source.checksum):
            raise BuildFailure(
                "fetch-checksum-mismatch",
                f"{git.shown} is not at the commit that was asked for",
                cause=f"it is at {commit}, and should be at {source.checksum}",
                hint="if the new commit is the right one, put it into the Dockerfile",
            )
        variant = f"{'g' if source.keep_git_dir else ''}{'s' if source.submodules else ''}"
        # Submodules and the .git directory depend on the address, so the tree is this address's alone.
        folder = root / f"tree-{commit}-{variant}-{address[:16]}"
        if not folder.is_dir():
            _fetch(git, repository, commit, name)
            _check_out(git, repository, source, commit, folder)
        os.utime(folder)
    return _fetched(git, source, folder, commit)


def _resolve(git: Git, ref: str, repository: Path) -> tuple[str, str]:
    """The commit that a ref names now, and the full name under which the server has it (empty: it has none).

    Where a branch and a tag have one name it is the branch, as in BuildKit and `git checkout`."""
    bases = (f"refs/{ref.removeprefix('refs/')}", f"refs/heads/{ref}", f"refs/tags/{ref}")
    names = [name for base in bases for name in (f"{base}^{{}}", base)] if ref not in ("", "HEAD") else ["HEAD"]
    lines = git.run("ls-remote", "-q", "--", git.address, *names).splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    for name in names:
        if _COMMIT.match(found.get(name, "")):
            return found[name], name.removesuffix("^{}")
    if _SHORT.match(ref):
        _fetch_all(git, repository)
        commit = git.attempt("-C", repository, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}")
        if commit is not None:
            return commit.strip(), ""
    if not ref:
        raise BuildFailure("fetch-git-ref", f"{git.shown} has no commit that it shows first", hint="name a branch")
    raise BuildFailure("fetch-git-ref", f"{git.shown} has no branch, tag or commit {ref!r}")


def _fetch(git: Git, repository: Path, commit: str, name: str) -> None:
    """Have a commit's objects, with as little else as the server lets us."""
    _prepare(git, repository)
    if _has(git, repository, commit):
        return
    # Some servers give only what a branch or tag points at; one that is but a folder of files gives all or nothing.
    for wanted in filter(None, (commit, name)):
        git.attempt("-C", repository, *_QUIET_FETCH, "--depth=1", "--", git.address, wanted)
        if _has(git, repository, commit):
            return
    _fetch_all(git, repository)
    if not _has(git, repository, commit):
        raise BuildFailure("fetch-git-ref", f"{git.shown} has no commit {commit}")


def _has(git: Git, repository: Path, commit: str) -> bool:
    return git.attempt("-C", repository, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def _fetch_all(git: Git, repository: Path) -> None:
    _prepare(git, repository)
    deeper = ("--unshallow",) if (repository / "shallow").exists() else ()
    refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    git.run("-C", repository, *_QUIET_FETCH, "--prune", *deeper, "--", git.address, *refs)


def _prepare(git: Git, repository: Path) -> None:
    """Make the repository, or what is missing of it, ready for the one process that has it now."""
    for left in (*repository.glob("*.lock"), *repository.glob("refs/**/*.lock")):
        left.unlink()  # of a git that was killed
    git.run("init", "-q", "--bare", "--template=", repository)
    os.utime(repository)


def _check_out(git: Git, repository: Path, source: GitSource, commit: str, folder: Path) -> None:
    """Lay out a commit's files in `folder/tree`; the folder appears when all is there."""
    draft = Path(mkdtemp(prefix="draft-", dir=folder.parent))
    tree = draft / "tree"
    try:
        git.run("init", "-q", "--template=", tree)
        git.run("-C", tree, "config", "remote.origin.url", git.address)
        git.run("-C", tree, *_QUIET_FETCH, "--depth=1", "--", repository, commit, reach="disk")
        git.run("-C", tree, "checkout", "-q", "--force", "--detach", commit)
        if source.submodules and (tree / ".gitmodules").is_file():
            _check_out_submodules(git, tree)
        if source.keep_git_dir:
            for left in (tree / ".git").rglob("FETCH_HEAD"):
                left.unlink()  # names a path of this machine
        else:
            _remove_git(tree)
        remember(describe(tree), draft / "records")
        draft.chmod(0o755)
        _sync(draft)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_out_submodules(git: Git, tree: Path) -> None:
    update = ("-C", tree, "submodule", "--quiet", "update", "--init", "--recursive")
    if git.attempt(*update, "--depth=1") is None:
        git.run("-C", tree, "submodule", "--quiet", "deinit", "--force", "--all")
        shutil.rmtree(tree / ".git" / "modules", ignore_errors=True)
        git.run(*update)


def _remove_git(tree: Path) -> None:
    for parent, folders, files in os.walk(tree):
        if ".git" in folders:
            folders.remove(".git")
            shutil.rmtree(Path(parent, ".git"))
        if ".git" in files:  # a submodule's
            Path(parent, ".git").unlink()


def _sync(folder: Path) -> None:
    """Write the file system out: no index row says in which boot this was written, so a power loss must not take it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def _fetched(git: Git, source: GitSource, folder: Path, commit: str) -> Fetched:
    top = (folder / "tree").resolve()
    try:
        where = (top / source.subdir.strip("/")).resolve()
        inside = where.is_relative_to(top) and where.is_dir()
    except (RuntimeError, ValueError):  # links in a circle, a NUL
        inside = False
    if not inside:
        raise BuildFailure("fetch-git-subdir", f"{git.shown} has no directory {source.subdir!r} at {commit[:12]}")
    try:
        records = recall(folder / "records")
    except (FileNotFoundError, ValueError):
        records = describe(top)
    return Fetched(where, _below(records, str(where.relative_to(top))), commit)


def _below(records: tuple[FileRecord, ...], directory: str) -> tuple[FileRecord, ...]:
    if directory == ".":
        return records
    prefix = f"{directory}/"
    return tuple(replace(one, path=one.path[len(prefix) :]) for one in records if one.path.startswith(prefix))
