"""What is in use: everything that can be reached from images, from cache records and from past builds."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, field

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, Digest, chain_id
from lamina.keys.record import CacheRecord
from lamina.oci.config import decode_config
from lamina.oci.manifest import Manifest, decode_manifest
from lamina.store.images import Image
from lamina.store.parts import Parts


class Marks(Struct):
    """Sets that grow while marking."""

    chains: set[ChainID] = field(default_factory=set)
    blobs: set[Digest] = field(default_factory=set)
    facts: set[Digest] = field(default_factory=set)
    looks: set[Digest] = field(default_factory=set)


def mark(
    store: Parts,
    images: Iterable[Image],
    records: Iterable[CacheRecord],
    touched: Collection[str] = (),
    *,
    facts: Iterable[Digest],
) -> Marks:
    """Everything reachable from these images and records, from what a process has `touched` (chain IDs and digests of
    blobs), and these lists of files (those that past builds name). Raises BuildFailure."""
    marks = Marks(blobs={Digest(name) for name in touched}, facts=set(facts))
    packed: set[str] = set()  # layers of steps, which may be there as blobs alone
    for image in images:
        _mark_image(store, image, marks)
    for record in records:
        for chain in (record.parent, record.result):
            if chain is not None:
                marks.chains.add(chain)
        if record.diff_id is not None:
            packed.add(record.diff_id)
        marks.facts.update(part.files for part in record.key.parts if part.files is not None)
        if record.looks is not None:
            marks.looks.add(record.looks)
    marks.facts = store.facts.closure(marks.facts)
    diff_ids = _mark_parents(store, marks, touched) | packed
    for diff_id, digest in store.index.read("SELECT diff_id, digest FROM layer_blobs"):
        if diff_id in diff_ids:
            marks.blobs.add(digest)
    return marks


def _mark_parents(store: Parts, marks: Marks, touched: Collection[str]) -> set[str]:
    """Add the ancestors of all marked and touched chains; returns the diff IDs of all."""
    rows = {row.chain: row for row in store.snapshots.rows()}
    marks.chains.update(chain for chain in rows if chain in touched)
    pending = list(marks.chains)
    diff_ids: set[str] = set()
    while pending:
        row = rows.get(pending.pop())
        if row is None:
            continue
        diff_ids.add(row.diff_id)
        if row.parent is not None and row.parent not in marks.chains:
            marks.chains.add(row.parent)
            pending.append(row.parent)
    return diff_ids


def _mark_image(store: Parts, image: Image, marks: Marks) -> None:
    """An image's configuration, manifest, index, layers and blobs, as far as they are there and readable."""
    marks.blobs.update(digest for digest in (image.id, image.manifest) if digest is not None)
    try:
        chain: ChainID | None = None
        for diff_id in decode_config(store.blobs.read(image.id)).rootfs.diff_ids:
            chain = chain_id(chain, diff_id)
            marks.chains.add(chain)
            marks.blobs.update(blob.digest for blob in store.layer_blobs.all(diff_id).values())
    except (BuildFailure, ValueError):
        pass  # `fsck` tells of it; what is left of a damaged image does not stop garbage collection
    if image.manifest is not None:
        try:
            manifest = decode_manifest(store.blobs.read(image.manifest), image.media_type or "")
            if isinstance(manifest, Manifest):
                marks.blobs.update(layer.digest for layer in manifest.layers)
        except (BuildFailure, ValueError):
            pass
