"""What a power loss may take: the boot in which a row was written, and whether it has been synced since.

Nothing is fsynced on the hot path. A row of this boot is trusted: the kernel that took the write still holds it. A row
that was synced is trusted. Any other is checked before its first use (docs/adr/0003-durability.md).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.store.failures import explained
from lamina.store.index import Index
from lamina.store.layout import Layout

if TYPE_CHECKING:
    import subprocess

#: A log larger than this is moved into the index in the background, so that opening stays quick.
_LOG_BYTES = 1 << 20


def boot_id() -> str:
    """The kernel's id of this boot; where it cannot be read, one that no later process has."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"unknown-{os.getpid()}-{os.urandom(8).hex()}"


def settle(layout: Layout, index: Index, boot: str) -> int:
    """Sync the store's file system and mark the rows that were there before; returns how many. Raises BuildFailure."""
    blobs = index.read("SELECT digest FROM blobs WHERE synced = 0 AND boot = ?", boot)
    layers = index.read("SELECT DISTINCT layer FROM snapshots WHERE synced = 0 AND boot = ?", boot)
    with explained(layout.root):
        _syncfs(layout.root)
    with index.write() as connection:
        connection.executemany("UPDATE blobs SET synced = 1 WHERE digest = ?", blobs)
        connection.executemany("UPDATE snapshots SET synced = 1 WHERE layer = ?", layers)
    index.checkpoint()
    return len(blobs) + len(layers)


def is_unsettled(index: Index) -> bool:
    """Whether there is something that a power loss would make doubtful, or a log worth moving."""
    doubtful = "SELECT 1 FROM snapshots WHERE synced = 0 UNION ALL SELECT 1 FROM blobs WHERE synced = 0 LIMIT 1"
    return index.log_bytes() > _LOG_BYTES or bool(index.read(doubtful))


def settle_later(layout: Layout) -> subprocess.Popen[bytes] | None:
    """`settle` in a process of its own that nobody waits for: a sync after 10,000 small files takes tenths of a second.

    If it never comes to run (the container ends, the machine is off), nothing is lost but the marks.
    """
    import subprocess

    package = os.fspath(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {package!r}); from lamina.store.store import settle_main; settle_main()"
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code, os.fspath(layout.root)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return None  # no process to be had: the rows stay unmarked and are checked after a reboot


def _syncfs(directory: Path) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
