"""A shared cache in a directory: `entries/<name>` and `blobs/<hex>`, each file written aside and renamed into place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from lamina.digest import Digest, parse_digest
from lamina.oci.descriptor import Descriptor
from lamina.registry.cachestore import CHUNK, MAX_DOCUMENT, checked_name, failed, verified


class FolderCache:
    """A `CacheStore` below `folder`, which is made when something is written. Several machines may share it."""

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
        return self._blob(digest).is_file()

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
