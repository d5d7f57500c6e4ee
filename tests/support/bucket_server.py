"""A bucket on loopback for tests: moto's server, which speaks S3, in a process of its own. Any access key will do."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.registry_server import free_port


@dataclass(frozen=True)
class BucketServer:
    """A running server with one empty bucket."""

    url: str
    bucket: str = "shared"

    @property
    def place(self) -> str:
        """What `--cache-from` and `--cache-to` need to use it."""
        keys = "access_key_id=key,secret_access_key=hidden-away"
        return f"type=s3,bucket={self.bucket},region=us-east-1,endpoint_url={self.url},{keys}"


@contextmanager
def running_bucket() -> Iterator[BucketServer]:
    """Start it; stopped when the block ends."""
    port = free_port()
    program = str(Path(sys.executable).with_name("moto_server"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], **quiet)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.05)
        server = BucketServer(f"http://127.0.0.1:{port}")
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/{server.bucket}", method="PUT")).close()
        yield server
    finally:
        process.terminate()
        process.wait(10)
