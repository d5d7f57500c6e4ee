"""Machines that share a cache: each a store of its own with the image `busybox`, and nothing else in common."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command import Command, project
from tests.support.registry_server import RegistryServer
from tests.support.waiting import copied

DOCKERFILE = """\
FROM busybox
COPY requirements.txt /requirements.txt
RUN head -c 300000 /dev/urandom > /installed
COPY src /app
RUN cat /app/a /app/b > /out
"""
FILES = {"requirements.txt": "x==1\n", "src/a": "1\n", "src/b": "2\n", "src/deep/c": "3\n"}
#: Steps of `DOCKERFILE` that make layers.
STEPS = 4


@dataclass
class Fleet:
    """Makes machines below `folder`; `busybox` is a store to start from."""

    folder: Path
    busybox: Path
    env: Mapping[str, str] = field(default_factory=dict)
    count: int = 0

    def machine(self) -> Command:
        """A fresh one."""
        self.count += 1
        root = copied(self.busybox, self.folder / f"machine-{self.count}")
        return Command(root, env={"HOME": str(self.folder), **self.env})

    def checkout(self, **changes: str) -> Path:
        """The project in a directory of its own; `changes` are files under other names: `src_a` is `src/a`."""
        self.count += 1
        files = {**FILES, **{name.replace("_", "/"): text for name, text in changes.items()}}
        return project(self.folder / f"checkout-{self.count}", DOCKERFILE, files)


def stored_bytes(folder: Path) -> bytes:
    """All that lies in a cache's files, the compressed in both forms."""
    found: list[bytes] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found += [data, *_expanded(data)]
    return b"\n".join(found)


def _expanded(data: bytes) -> list[bytes]:
    import base64
    import re
    import zlib

    import zstandard

    inner = [base64.b64decode(text) for text in re.findall(rb'"io.lamina.cache.document":"([^"]+)"', data)]
    found: list[bytes] = list(inner)
    for one in (data, *inner):
        body = one[4:] if one.startswith(b"lmc\0") else one[36:] if one.startswith(b"lmc\1") else one
        if body.startswith(b"\x28\xb5\x2f\xfd"):
            found.append(zstandard.ZstdDecompressor().decompress(body))
        if one.startswith(b"\x1f\x8b"):
            found.append(zlib.decompress(one, 31))
    return found


def tags(server: RegistryServer, repository: str) -> list[str]:
    with urllib.request.urlopen(f"{server.url}/v2/{repository}/tags/list") as answer:
        return list(json.load(answer)["tags"])


def check_registry(server: RegistryServer, repository: str) -> int:
    """Everything in a repository is what its digest says, and complete; returns how many manifests it has."""
    names = tags(server, repository)
    for name in names:
        request = urllib.request.Request(
            f"{server.url}/v2/{repository}/manifests/{name}",
            headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        )
        with urllib.request.urlopen(request) as answer:
            manifest = json.load(answer)
        for blob in (manifest["config"], *manifest["layers"]):
            with urllib.request.urlopen(f"{server.url}/v2/{repository}/blobs/{blob['digest']}") as answer:
                data = answer.read()
            assert len(data) == blob["size"]
            assert "sha256:" + hashlib.sha256(data).hexdigest() == blob["digest"]
    return len(names)
