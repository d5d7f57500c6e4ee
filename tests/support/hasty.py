"""`lamina` with less patience for registries, so that tests of faults take seconds: run as a program in its place.

`HASTY_SECONDS` in the environment is how long it waits for an answer (1). `HASTY_FILE_BYTES` limits how large a file
may become, as a full disk would. `HASTY_CLOCK` is by how many seconds its clock is wrong.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping

from msgspec.structs import replace

from lamina.cli import main
from lamina.registry import upload
from lamina.registry.settings import RegistrySettings
from lamina.workshop import registries

_read = registries.read_settings


def hasty(environment: Mapping[str, str], version: str) -> RegistrySettings:
    seconds = float(os.environ.get("HASTY_SECONDS", "1"))
    patience = {
        "attempts": 3,
        "retry_seconds": 2.0,
        "backoff_seconds": 0.01,
        "connect_seconds": seconds,
        "read_seconds": seconds,
    }
    return replace(_read(environment, version), **patience)


if __name__ == "__main__":
    registries.read_settings = hasty
    upload.CHUNK_BYTES = 1 << 17
    limit = os.environ.get("HASTY_FILE_BYTES")
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    shift = int(os.environ.get("HASTY_CLOCK", "0"))
    if shift:
        right, right_ns = time.time, time.time_ns
        time.time = lambda: right() + shift
        time.time_ns = lambda: right_ns() + shift * 1_000_000_000
    sys.exit(main())
