"""Where blobs were seen: which repositories of a registry hold one, so that the next push can have it taken over there
(distribution-spec, "Mounting a blob from another repository") rather than sent again.

A memory and no more: what it says may be out of date, and all of it may be deleted at any time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from lamina.digest import Digest

#: A file that grew beyond this is written anew with the later half of it.
_MAX_BYTES = 1 << 20


class Sightings(Protocol):
    """What is remembered of registries. Neither method raises."""

    def note(self, registry: str, repository: str, digests: Iterable[Digest]) -> None:
        """These blobs are in this repository."""

    def where(self, registry: str, digest: Digest) -> tuple[str, ...]:
        """The repositories in which a blob was seen, the latest first."""


class NoSightings:
    """Remembers nothing."""

    def note(self, registry: str, repository: str, digests: Iterable[Digest]) -> None:
        """Nothing happens."""

    def where(self, registry: str, digest: Digest) -> tuple[str, ...]:
        return ()


class SightingFiles:
    """One text file a registry in `folder`, which is made when it is needed: lines of a digest and a repository. Lines
    are appended whole, so several processes may write at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, dict[str, None]]] = {}

    def note(self, registry: str, repository: str, digests: Iterable[Digest]) -> None:
        with self._lock:
            known = self._read(registry)
            fresh = [digest for digest in dict.fromkeys(digests) if repository not in known.get(digest, ())]
            for digest in fresh:
                known.setdefault(digest, {})[repository] = None
            if fresh:
                with suppress(OSError):
                    self._append(registry, "".join(f"{digest} {repository}\n" for digest in fresh).encode())

    def where(self, registry: str, digest: Digest) -> tuple[str, ...]:
        with self._lock:
            return tuple(reversed(self._read(registry).get(digest, ())))

    def _read(self, registry: str) -> dict[str, dict[str, None]]:
        if registry not in self._known:
            found: dict[str, dict[str, None]] = {}
            try:
                text = self._path(registry).read_text(encoding="ascii", errors="replace")
            except OSError:
                text = ""
            for line in text.splitlines():
                digest, _, repository = line.partition(" ")
                found.setdefault(digest, {})[repository] = None
            self._known[registry] = found
        return self._known[registry]

    def _append(self, registry: str, data: bytes) -> None:
        path = self._path(registry)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
            grown = os.fstat(descriptor).st_size > _MAX_BYTES
        finally:
            os.close(descriptor)
        if grown:
            lines = path.read_bytes().splitlines(keepends=True)
            draft = path.with_name(f"{path.name}.{os.getpid()}")
            draft.write_bytes(b"".join(lines[len(lines) // 2 :]))
            draft.replace(path)

    def _path(self, registry: str) -> Path:
        return self._folder / quote(registry, safe="")
