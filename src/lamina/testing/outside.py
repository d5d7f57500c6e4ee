"""Fakes of what outlives builds or comes from elsewhere: cache mounts, and files fetched by URL."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1, sha256
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord
from lamina.plan.steps import GitSource, HttpSource
from lamina.ports.sources import Fetched

#: Path without a leading slash → content, None for a directory.
_Tree = dict[str, bytes | None]


class MemoryCacheMounts:
    """A `ports.CacheMounts` for the threads of one process: who uses what is kept in memory, the folders (which are
    bound to be real) below `directory`. `leased` lists the names that were asked for, in order."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._changed = threading.Condition()
        #: Users of each folder; -1 is one alone.
        self._users: dict[Path, int] = {}
        self.leased: list[str] = []

    @contextmanager
    def lease(
        self, name: str, sharing: Literal["shared", "private", "locked"], make: Callable[[Path], None]
    ) -> Iterator[Path]:
        base = self._directory / sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        with self._changed:
            self.leased.append(name)
            folder = self._free(base) if sharing == "private" else base / "0"
            if sharing == "shared":
                self._changed.wait_for(lambda: self._users.get(folder, 0) >= 0)
            elif sharing == "locked":
                self._changed.wait_for(lambda: self._users.get(folder, 0) == 0)
            if not folder.exists():
                draft = base / f"{folder.name}-{len(self.leased)}"
                draft.mkdir(parents=True)
                make(draft)
                draft.rename(folder)
            self._users[folder] = self._users.get(folder, 0) + 1 if sharing == "shared" else -1
        try:
            yield folder
        finally:
            with self._changed:
                self._users[folder] = self._users[folder] - 1 if sharing == "shared" else 0
                self._changed.notify_all()

    def _free(self, base: Path) -> Path:
        return next(base / str(number) for number in itertools.count() if not self._users.get(base / str(number)))


class MemoryFetcher:
    """A `ports.Fetcher`: `files` by URL, and `repositories` by URL, whose every ref is the same tree. What is fetched
    goes to `layers`, those of `MemorySnapshots`. `asked` lists the URLs in order."""

    def __init__(self, layers: dict[Path, _Tree]) -> None:
        self._layers = layers
        self.files: dict[str, bytes] = {}
        self.repositories: dict[str, _Tree] = {}
        self.asked: list[str] = []

    def http(self, source: HttpSource) -> Fetched:
        self.asked.append(source.url)
        if source.url not in self.files:
            raise BuildFailure("fetch-not-found", f"there is no {source.url}")
        data = self.files[source.url]
        identity = "sha256:" + sha256(data).hexdigest()
        if source.checksum not in ("", identity):
            raise BuildFailure("fetch-checksum-mismatch", f"{source.url} is {identity}, not {source.checksum}")
        name = urlsplit(source.url).path.rpartition("/")[2] or "download"
        return self._fetched({name: data}, 0o600, identity)

    def git(self, source: GitSource) -> Fetched:
        self.asked.append(source.url)
        if source.url not in self.repositories:
            raise BuildFailure("fetch-not-found", f"there is no {source.url}")
        whole = self.repositories[source.url]
        commit = sha1(repr(sorted(whole.items())).encode()).hexdigest()
        if not commit.startswith(source.checksum):
            raise BuildFailure("fetch-checksum-mismatch", f"{source.url} is at {commit}, not {source.checksum}")
        prefix = f"{source.subdir.strip('/')}/" if source.subdir.strip("/") else ""
        tree = {path.removeprefix(prefix): data for path, data in whole.items() if path.startswith(prefix)}
        return self._fetched(tree, 0o644, commit)

    def _fetched(self, tree: _Tree, mode: int, identity: str) -> Fetched:
        root = Path(f"/fetched-{sha256(repr((sorted(tree.items()), identity)).encode()).hexdigest()[:12]}")
        records: dict[str, FileRecord] = {}
        for path, data in tree.items():
            for end in (index for index, character in enumerate(path) if character == "/"):
                records.setdefault(path[:end], FileRecord(path[:end], "dir", 0o755))
            if data is None:
                records[path] = FileRecord(path, "dir", 0o755)
            else:
                records[path] = FileRecord(path, "file", mode, len(data), sha256(data).hexdigest())
        self._layers[root] = dict(tree)
        return Fetched(root, tuple(records[path] for path in sorted(records)), identity)
