"""What downloads of all kinds share: limits, one process at a time, and addresses apart from their passwords."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from lamina.ports.layers import Limits

_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)@")


class Bounds(Struct, frozen=True):
    """How long to wait, in seconds, for a connection and for the next byte; `pauses` are the waits before each further
    attempt. `max_bytes` is the largest file that is taken."""

    connect_seconds: float = 15
    idle_seconds: float = 60
    pauses: tuple[float, ...] = (0.3, 1.0, 3.0)
    max_bytes: int = Limits().max_layer_bytes


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock file: one thread or process at a time, and the kernel lets go of it when its holder dies."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.utime(descriptor)
        yield
    finally:
        os.close(descriptor)


def without_user(url: str) -> tuple[str, str]:
    """An address without `user:password@`, and `user:password` as written (empty: there was none)."""
    match = _USER.match(url)
    return (match[1] + url[match.end() :], match[2]) if match else (url, "")
