"""The file that a build's log goes to: it must not fail the build that it tells of."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TextIO


class LogFile:
    """Text that is written for as long as that works: on a full disk the log ends, and the build goes on.

    Use as a context manager; characters that are not UTF-8 (surrogates) are kept.
    """

    def __init__(self, path: Path) -> None:
        self._file: TextIO | None = None
        with suppress(OSError):
            self._file = path.open("w", encoding="utf-8", errors="surrogateescape")

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def write(self, text: str, /) -> int:
        if self._file is not None:
            try:
                self._file.write(text)
            except OSError:
                self._end()
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except OSError:
                self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
