"""What trees of files take on the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def disk_bytes(path: Path) -> int:
    """The bytes that the file, or all below the directory, takes; several names of one file count once. A walk that
    follows no link; what cannot be looked at counts nothing."""
    found: dict[tuple[int, int], int] = {}

    def count(name: str) -> None:
        with suppress(OSError):
            status = os.lstat(name)
            found[status.st_dev, status.st_ino] = status.st_blocks * 512

    count(os.fspath(path))
    for folder, directories, files in os.walk(path):
        for name in (*directories, *files):
            count(f"{folder}/{name}")
    return sum(found.values())
