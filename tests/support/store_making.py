"""Small values for tests of the store."""

from __future__ import annotations

from pathlib import Path

from lamina.digest import ChainID, DiffID, Digest, digest_of
from lamina.keys.record import CacheKey, CacheRecord, KeyPart
from lamina.oci.config import ImageConfig, RootFS, encode_config
from lamina.ports.storing import Snapshot
from lamina.store.images import Image
from lamina.store.store import Store


def a_digest(text: str) -> Digest:
    return digest_of(text.encode())


def a_record(
    key: str = "key",
    *,
    content: str | None = None,
    result: ChainID | None = None,
    parent: ChainID | None = None,
    address: str = "main/1 RUN make",
    project: str = "/project",
    text: str = "RUN make",
    files: Digest | None = None,
) -> CacheRecord:
    parts = (KeyPart(name="command", value=text), KeyPart(name="files", value="tree", files=files))
    return CacheRecord(
        key=CacheKey(schema=1, kind="run", parts=parts, digest=a_digest(key)),
        content_key=a_digest(content or key + " by content"),
        address=address,
        project=project,
        text=text,
        parent=parent,
        result=result,
        diff_id=None,
        files=None,
        seconds=1.5,
        size=10,
        created=1.0,
        build="b1",
        version="0",
    )


def content_diff_id(layer: Path) -> DiffID:
    """A stand-in for a layer's diff ID: over the names and contents of its files."""
    parts = [f"{path.relative_to(layer)}\0{path.read_text()}" for path in sorted(layer.rglob("*")) if path.is_file()]
    return DiffID(a_digest("\0".join(parts)))


def add_layer(store: Store, parent: ChainID | None, text: str, *, built: bool = True) -> Snapshot:
    """Commit a layer with one file `file` that holds `text`."""
    with store.snapshots.begin(parent) as work:
        (work.upper / "file").write_text(text)
        return store.snapshots.commit(work, parent, content_diff_id(work.upper), len(text), built=built)


def add_image(store: Store, name: str | None, *diff_ids: DiffID, created: float = 1.0) -> Image:
    """An image of these layers, with its configuration in the store."""
    config = ImageConfig(architecture="amd64", os="linux", rootfs=RootFS("layers", diff_ids), author=name or "nobody")
    image_id = store.blobs.put(encode_config(config))
    image = Image(image_id, "linux/amd64", created, names=(name,) if name else ())
    store.images.add(image)
    return store.images.resolve(image_id)
