"""Small OCI layouts for tests, written by hand, so that `skopeo copy oci:FOLDER:TAG …` can put them anywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class MadeImage:
    """What `make_layout` wrote: the folder and tag for skopeo, the manifest's digest and bytes, each blob by digest."""

    folder: Path
    tag: str
    digest: str
    manifest: bytes
    blobs: dict[str, bytes]
    layers: tuple[str, ...]
    config: str

    @property
    def skopeo_name(self) -> str:
        return f"oci:{self.folder}:{self.tag}"


def make_layout(folder: Path, layers: list[dict[str, bytes]], tag: str = "latest") -> MadeImage:
    """An image of one gzip layer for each mapping of file names to contents."""
    blobs: dict[str, bytes] = {}
    diff_ids: list[str] = []
    described: list[dict[str, Any]] = []
    for files in layers:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        packed = gzip.compress(buffer.getvalue(), 1, mtime=0)
        diff_ids.append(_digest(buffer.getvalue()))
        described.append(_add(blobs, packed, "application/vnd.oci.image.layer.v1.tar+gzip"))
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _add(blobs, config, "application/vnd.oci.image.config.v1+json"),
            "layers": described,
        }
    ).encode()
    entry_of_index = _add(blobs, manifest, "application/vnd.oci.image.manifest.v1+json")
    entry_of_index["annotations"] = {"org.opencontainers.image.ref.name": tag}
    store = folder / "blobs" / "sha256"
    store.mkdir(parents=True, exist_ok=True)
    for digest, data in blobs.items():
        (store / digest.partition(":")[2]).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry_of_index]}))
    names = tuple(str(layer["digest"]) for layer in described)
    return MadeImage(folder, tag, _digest(manifest), manifest, blobs, names, _digest(config))


def _add(blobs: dict[str, bytes], data: bytes, media_type: str) -> dict[str, Any]:
    blobs[_digest(data)] = data
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
