"""Where image archives are written to: a directory, or a tar that is the same every time (time 0, owner 0:0)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lamina.diagnostics import BuildFailure
from lamina.image.tarheader import DIRECTORY, FILE, entry_blocks, padding
from lamina.image.tarstream import Sink, TarStream


class FileSink(Protocol):
    """Where an archive is written to, file by file. `size` is the exact number of bytes that `pieces` gives."""

    def add(self, path: str, size: int, pieces: Iterable[bytes]) -> None: ...


class DirectorySink:
    """Writes below a directory, which is made if missing. A file appears whole or not at all; one whose name holds its
    digest (`blobs/`) is kept if it is there with the right size."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, path: str, size: int, pieces: Iterable[bytes]) -> None:
        target = self._root / path
        if path.startswith("blobs/") and target.is_file() and target.stat().st_size == size:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
            unfinished.chmod(0o644)
            unfinished.replace(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


class TarSink:
    """Writes a tar to `sink`; `close` ends it. Directories get entries of their own, before their first file."""

    def __init__(self, sink: Sink) -> None:
        self._stream = TarStream(sink)
        self._made: set[str] = set()

    def add(self, path: str, size: int, pieces: Iterable[bytes]) -> None:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            directory = "/".join(parts[:depth]) + "/"
            if directory not in self._made:
                self._made.add(directory)
                self._stream.header(entry_blocks(directory.encode(), DIRECTORY, 0o755, 0, 0, 0, 0))
        self._stream.header(entry_blocks(path.encode(), FILE, 0o644, 0, 0, size, 0))
        written = 0
        for piece in pieces:
            written += len(piece)
            self._stream.data(piece)
        if written != size:
            raise BuildFailure("image-blob-mismatch", f"{path} has {written} bytes, but {size} were announced")
        self._stream.data(padding(size))

    def close(self) -> None:
        self._stream.end()
