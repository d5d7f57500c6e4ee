"""A tree of a git repository (Dockerfile reference, "ADD <git repository>"), by the `git` program.

Objects are kept in one bare repository an address, trees by commit: a commit that was checked out before needs no
network. Files of git-lfs stay the pointers that they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

from lamina.context.fetch import alone, describe, recall, remember
from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.plan.remote import shown
from lamina.plan.steps import GitSource
from lamina.ports import Fetched

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SHORT = re.compile(r"[0-9a-f]{7,64}\Z")
#: What the user's own settings must not change of a tree, or run.
_SETTINGS = (
    *("-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
    *("-c", "advice.detachedHead=false", "-c", "init.defaultBranch=main", "-c", "safe.directory=*"),
    *("-c", "core.symlinks=true", "-c", "core.fileMode=true", "-c", "gc.auto=0"),
)


def checkout(source: GitSource, root: Path, environ: Mapping[str, str]) -> Fetched:
    """Have the tree of a repository below `root`. Raises BuildFailure `fetch-no-git`, `fetch-git-ref`,
    `fetch-git-subdir`, `fetch-checksum-mismatch`, `fetch-failed`."""
    git = _Git(source, environ)
    repository = root / f"repo-{hashlib.sha256(source.url.encode()).hexdigest()}"
    with alone(repository.with_suffix(".lock")):
        commit = source.ref if _COMMIT.match(source.ref) else git.resolve(repository)
        if not commit.startswith(source.checksum):
            raise BuildFailure(
                "fetch-checksum-mismatch",
                f"{shown(source.url)} is not at the commit that was asked for",
                cause=f"it is at {commit}, and should be at {source.checksum}",
            )
        variant = f"{'g' if source.keep_git_dir else ''}{'s' if source.submodules else ''}"
        # Submodules and the .git directory hold the address, so the tree is this address's alone.
        folder = root / f"tree-{commit}-{variant}-{repository.name[5:13]}"
        if not folder.is_dir():
            git.fetch(repository, commit)
            _check_out(git, repository, commit, folder)
        os.utime(folder)
    return _fetched(source, folder, commit)


class _Git:
    """The program, set up for one source."""

    def __init__(self, source: GitSource, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environment = {
            **{name: value for name, value in environ.items() if not name.startswith("GIT_")},
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "LC_ALL": "C",
        }

    def run(self, *words: str | Path) -> str:
        """Its output. Raises BuildFailure `fetch-failed` with what it says."""
        try:
            done = subprocess.run(
                ["git", *_SETTINGS, *map(str, words)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                umask=0o022,
            )
        except FileNotFoundError:
            raise BuildFailure(
                "fetch-no-git", f"fetching {shown(self._source.url)} needs git", hint="install git"
            ) from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise BuildFailure(
                "fetch-failed",
                f"{shown(self._source.url)} cannot be fetched",
                cause=shown("; ".join(said[-3:])),
                hint="check the address and the network; a private repository needs an agent or a credential helper",
            )
        return done.stdout.decode("utf-8", "surrogateescape")

    def resolve(self, repository: Path) -> str:
        """The commit that the ref names now."""
        ref = self._source.ref
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"{ref}^{{}}", ref]
        wanted = names if ref else ["HEAD"]
        lines = self.run("ls-remote", "--", self._source.url, *wanted).splitlines()
        found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
        for name in wanted:
            if name in found:
                return found[name]
        if _SHORT.match(ref):
            self._fetch_all(repository)
            try:
                return self.run("-C", repository, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}").strip()
            except BuildFailure:
                pass
        raise BuildFailure(
            "fetch-git-ref",
            f"{shown(self._source.url)} has no branch, tag or commit {ref!r}"
            if ref
            else f"{shown(self._source.url)} is empty",
        )

    def fetch(self, repository: Path, commit: str) -> None:
        """Have a commit's objects."""
        self._prepare(repository)
        try:
            self.run("-C", repository, "cat-file", "-e", f"{commit}^{{commit}}")
            return
        except BuildFailure:
            pass
        try:
            self.run("-C", repository, "fetch", "-q", "--depth=1", "--no-tags", "--", self._source.url, commit)
        except BuildFailure:
            # Some servers give only what a branch or tag points at.
            self._fetch_all(repository)
        try:
            self.run("-C", repository, "cat-file", "-e", f"{commit}^{{commit}}")
        except BuildFailure:
            raise BuildFailure("fetch-git-ref", f"{shown(self._source.url)} has no commit {commit}") from None

    def _fetch_all(self, repository: Path) -> None:
        self._prepare(repository)
        whole = () if not (repository / "shallow").exists() else ("--unshallow",)
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self.run("-C", repository, "fetch", "-q", "--prune", *whole, "--", self._source.url, *refs)

    def _prepare(self, repository: Path) -> None:
        if not (repository / "HEAD").exists():
            self.run("init", "-q", "--bare", repository)
            self.run("-C", repository, "config", "uploadpack.allowAnySHA1InWant", "true")
        os.utime(repository)


def _check_out(git: _Git, repository: Path, commit: str, folder: Path) -> None:
    """Lay out a commit's files in `folder/tree`; the folder appears when all is there."""
    source = git._source
    draft = Path(mkdtemp(prefix="draft-", dir=folder.parent))
    tree = draft / "tree"
    try:
        git.run("init", "-q", tree)
        git.run("-C", tree, "remote", "add", "origin", shown(source.url))
        git.run("-C", tree, "fetch", "-q", "--depth=1", "--no-tags", "--", repository, commit)
        git.run("-C", tree, "checkout", "-q", "--force", "--detach", commit)
        if source.submodules and (tree / ".gitmodules").exists():
            git.run("-C", tree, "submodule", "update", "-q", "--init", "--recursive", "--depth=1")
        (tree / ".git" / "FETCH_HEAD").unlink(missing_ok=True)  # names a path of this machine
        if not source.keep_git_dir:
            _remove_git(tree)
        tree.chmod(0o755)
        remember(describe(tree), draft / "records")
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_git(tree: Path) -> None:
    for parent, folders, files in os.walk(tree):
        if ".git" in folders:
            folders.remove(".git")
            shutil.rmtree(os.path.join(parent, ".git"))
        if ".git" in files:
            os.unlink(os.path.join(parent, ".git"))


def _fetched(source: GitSource, folder: Path, commit: str) -> Fetched:
    try:
        records = recall(folder / "records")
    except (OSError, ValueError):
        records = describe(folder / "tree")
    top = (folder / "tree").resolve()
    where = (top / source.subdir).resolve()
    if not where.is_relative_to(top) or not where.is_dir():
        raise BuildFailure("fetch-git-subdir", f"{shown(source.url)} has no directory {source.subdir!r} at {commit}")
    return Fetched(where, _below(records, str(where.relative_to(top))), commit)


def _below(records: tuple[FileRecord, ...], directory: str) -> tuple[FileRecord, ...]:
    from msgspec.structs import replace

    if directory == ".":
        return records
    strip = len(directory) + 1
    return tuple(replace(one, path=one.path[strip:]) for one in records if one.path.startswith(directory + "/"))
