"""A shared cache in a directory: `entries/<name>` and `blobs/<hex>`, each file written aside and renamed into place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from lamina.digest import Digest, parse_digest
from lamina.oci.descriptor import Descriptor
from lamina.registry.cachestore import (
    CHUNK,
    MAX_DOCUMENT,
    REFRESHED,
    Held,
    HeldBlob,
    checked_name,
    failed,
    is_name,
    verified,
)


class FolderCache:
    """A `CacheStore` below `folder`, which is made when something is written. Several machines may share it."""

    collects = False

    def __init__(self, folder: Path) -> None:
        self._entries = folder / "entries"
        self._blobs = folder / "blobs"
        self._drafts = folder / "drafts"
        self.title = str(folder)

    def read(self, name: str) -> bytes | None:
        try:
            with (self._entries / checked_name(name)).open("rb") as file:
                data = file.read(MAX_DOCUMENT + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise failed(self.title, "be read", error.strerror) from error
        return data if len(data) <= MAX_DOCUMENT else None

    def write(self, name: str, document: bytes, blobs: Sequence[Descriptor]) -> None:
        with self._draft(self._entries / checked_name(name)) as file:
            file.write(document)
        for blob in blobs:
            # Written last: what an entry needs is as young as the entry, whoever clears away what is old.
            with suppress(OSError):
                os.utime(self._blob(blob.digest))

    def has(self, digest: Digest) -> bool:
        path = self._blob(digest)
        with suppress(OSError):
            os.utime(path)  # so that nobody clears it away before it is named
        return path.is_file()

    @contextmanager
    def fetch(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        try:
            with self._blob(blob.digest).open("rb") as file:
                yield verified(blob, iter(lambda: file.read(CHUNK), b""), self.title)
        except OSError as error:
            raise failed(self.title, f"give blob {blob.digest[:19]}", error.strerror) from error

    def send(self, blob: Descriptor, open_blob: Callable[[], BinaryIO], progress: Callable[[int], None]) -> bool:
        done = 0
        with open_blob() as stream, self._draft(self._blob(blob.digest)) as file:
            for chunk in verified(blob, iter(lambda: stream.read(CHUNK), b""), self.title):
                done += file.write(chunk)
                progress(done)
        return True

    def refresh(self, name: str, written: float) -> bool:
        path = self._entries / checked_name(name)
        try:
            old = path.stat().st_mtime < time.time() - REFRESHED
            if old:
                os.utime(path)
        except OSError as error:
            raise failed(self.title, "be written", error.strerror) from error
        return old

    # --- clearing away -----------------------------------------------------------------------------------------------
    def clock(self) -> float:
        draft = self._drafts / token_hex(8)
        try:
            self._drafts.mkdir(parents=True, exist_ok=True)
            try:
                draft.touch(exist_ok=False)
                return draft.stat().st_mtime
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise failed(self.title, "be written", error.strerror) from error

    def names(self) -> Mapping[str, str]:
        return {name: _version(found) for name, found in self._listed(self._entries) if is_name(name)}

    def look(self, name: str) -> Held | None:
        try:
            with (self._entries / checked_name(name)).open("rb") as file:
                found = os.fstat(file.fileno())
                data = file.read(MAX_DOCUMENT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failed(self.title, "be read", error.strerror) from error
        whole = data if len(data) <= MAX_DOCUMENT else None
        return Held(name, _version(found), found.st_mtime, found.st_size, whole)

    def remove(self, documents: Sequence[Held]) -> None:
        for path, version in ((self._entries / held.name, held.version) for held in documents):
            self._unlink(path, lambda found: _version(found) == version)  # noqa: B023  (called at once)

    def blobs(self) -> Mapping[Digest, HeldBlob]:
        found = self._listed(self._blobs)
        return {Digest(f"sha256:{name}"): HeldBlob(one.st_size, one.st_mtime) for name, one in found if len(name) == 64}

    def remove_blobs(self, digests: Sequence[Digest], before: float) -> None:
        for digest in digests:
            self._unlink(self._blob(digest), lambda found: found.st_mtime < before)
        for name, _ in self._listed(self._drafts):  # of writers that were killed
            self._unlink(self._drafts / name, lambda found: found.st_mtime < before)

    def _unlink(self, path: Path, is_meant: Callable[[os.stat_result], bool]) -> None:
        try:
            if is_meant(path.stat()):
                path.unlink()
        except FileNotFoundError:
            pass  # somebody else clears away, too
        except OSError as error:
            raise failed(self.title, "be cleared away", error.strerror) from error

    def _listed(self, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
        """The files of a folder."""
        try:
            with os.scandir(folder) as found:
                for one in found:
                    with suppress(FileNotFoundError):
                        if one.is_file(follow_symlinks=False):
                            yield one.name, one.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise failed(self.title, "be read", error.strerror) from error

    def _blob(self, digest: Digest) -> Path:
        return self._blobs / parse_digest(digest)[7:]

    @contextmanager
    def _draft(self, target: Path) -> Iterator[BinaryIO]:
        """A new file that takes its place when the block ends well."""
        draft = self._drafts / token_hex(8)
        try:
            for folder in (self._drafts, target.parent):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                with draft.open("xb") as file:
                    yield file
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            hint = "free some space" if error.errno == 28 else None
            raise failed(self.title, "be written", error.strerror, hint) from error


def _version(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns}-{found.st_ino}-{found.st_size}"
