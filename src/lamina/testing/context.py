"""A build context in memory, for tests of whatever reads one through `ports.ContextReader`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.keys.filetree import FileRecord


class MemoryContext:
    """`files` maps paths to bytes, `links` to targets; parent directories come by themselves, `dirs` adds empty ones.

    Modes are 0644, 0755 for directories and 0777 for links unless `modes` says otherwise. Tests change `files` as a
    user would edit a file: what was digested before and differs now raises BuildFailure `context-changed` in `open`.
    `read` lists the paths that were read, in order. `hidden` is what `hidden_by` answers.
    """

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        links: Mapping[str, str] | None = None,
        dirs: Sequence[str] = (),
        modes: Mapping[str, int] | None = None,
        hidden: Mapping[str, str] | None = None,
    ) -> None:
        self.hidden = dict(hidden or {})
        self.files = dict(files)
        self.read: list[str] = []
        records = {path: FileRecord(path, "file", 0o644, len(data)) for path, data in files.items()}
        records |= {path: FileRecord(path, "link", 0o777, target=target) for path, target in (links or {}).items()}
        for path in [*records, *(f"{name}/" for name in dirs)]:
            while path := path.rpartition("/")[0]:
                records[path] = FileRecord(path, "dir", 0o755)
        for path, mode in (modes or {}).items():
            records[path] = replace(records[path], mode=mode)
        self._records = records
        self._digested: dict[str, FileRecord] = {}

    def entries(self) -> Sequence[FileRecord]:
        return [self._records[path] for path in sorted(self._records)]

    def digested(self, paths: Sequence[str]) -> Sequence[FileRecord]:
        for path in paths:
            record = self._records[path]
            if path not in self._digested and record.kind == "file":
                self.read.append(path)
                data = self.files[path]
                record = replace(record, size=len(data), content=hashlib.sha256(data).hexdigest())
            self._digested.setdefault(path, record)
        return [self._digested[path] for path in paths]

    def open(self, record: FileRecord) -> BinaryIO:
        data = self.files.get(record.path)
        if data is None or hashlib.sha256(data).hexdigest() != record.content:
            raise BuildFailure("context-changed", f"{record.path!r} was edited while the build was reading the context")
        return io.BytesIO(data)

    def mtime_ns(self, path: str) -> int:
        """The same moment for every path: 2001-09-09."""
        if path not in self._records:
            raise KeyError(path)
        return 1_000_000_000_000_000_000

    def hidden_by(self, path: str) -> str | None:
        return self.hidden.get(path)
