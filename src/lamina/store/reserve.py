"""A few megabytes held back, so that even on a full disk there is room for what makes room."""

from __future__ import annotations

import os
from contextlib import suppress

from lamina.store.layout import Layout

#: Deleting is writing first: index rows go to SQLite's log before files go.
RESERVE_BYTES = 4 << 20


def hold(layout: Layout) -> None:
    """Take the reserve, if it is not there and the disk has room."""
    if layout.reserve.exists():
        return
    try:
        with layout.reserve.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        release(layout)


def release(layout: Layout) -> None:
    """Give the reserve up; `hold` takes it again."""
    with suppress(OSError):
        layout.reserve.unlink()
