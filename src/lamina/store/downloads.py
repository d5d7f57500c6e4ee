"""What ADD fetched by URL, kept below `downloads/`: every entry there is one download, a file or a directory, and its
modification time is the moment of its last use. Whoever reads one touches it; only pruning deletes any."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from lamina.store.failures import explained
from lamina.store.layout import Layout
from lamina.store.measure import disk_bytes


class Download(Struct, frozen=True):
    """`used` is in seconds since the epoch, `size` the bytes that it takes on the disk."""

    path: Path
    used: float
    size: int


def kept_downloads(layout: Layout) -> tuple[Download, ...]:
    """All downloads, sorted by path. Raises BuildFailure `store-…`."""
    with explained(layout.downloads):
        try:
            paths = sorted(layout.downloads.iterdir())
        except FileNotFoundError:
            return ()
        return tuple(Download(path, path.lstat().st_mtime, disk_bytes(path)) for path in paths)
