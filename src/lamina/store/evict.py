"""Making room under the store's limit while a build runs: the cached steps of least value go, and garbage before them.

What this process has looked up or made stays, with all that it stands on. Other processes are not known so well, so
there must be none.
"""

from __future__ import annotations

import time

from lamina.store.choose import Forest, Weights, facts_of
from lamina.store.mark import Marks, mark
from lamina.store.parts import Parts
from lamina.store.sweep import blobs_of_layers, delete_files, delete_rows, files_of, find_lost


def evict(store: Parts, needed: int) -> None:
    """Free `needed` bytes, or as many as may go. Raises BuildFailure, `store-busy` if other processes use the store."""
    with store.alone():
        store.records.flush()
        with store.touched.lock:
            touched = store.touched.names()
            entries = store.records.all()
            images = [image for image in store.images.list() if image.names or image.id in touched]
            rows, facts = store.snapshots.rows(), store.builds.facts()
            held = mark(store, images, [], touched, facts=facts)
            weights = Weights(
                layers={row.layer: max(0, row.disk) for row in rows},
                blobs=blobs_of_layers(store, held),
                facts=dict(files_of(store.layout.facts)) | dict(files_of(store.layout.looks)),
                held=facts,
            )
            forest = Forest(rows, entries, weights, keep=held.chains, now=time.time())
            everything = mark(store, images, [record for _, _, record in entries], touched, facts=facts)
            forest.drop(needed - _garbage(store, everything))
            gone = set(forest.dropped)
            kept = mark(
                store, images, [record for number, _, record in entries if number not in gone], touched, facts=facts
            )
            named = {digest for number, _, record in entries if number in gone for digest in facts_of(record)}
            # Of lists of files and observations only those of steps that go: another thread may be about to name one.
            lost = find_lost(store, kept, named)
            store.images.forget_nameless(keep=touched)
            layers = delete_rows(store, lost, forest.dropped)
        delete_files(store, lost, layers)


def _garbage(store: Parts, everything: Marks) -> int:
    """The bytes of what nothing reaches."""
    lost = find_lost(store, everything, ())
    layers = {row.layer: max(0, row.disk) for row in lost.rows}
    return sum(layers[layer] for layer in lost.layers) + sum(lost.blobs.values())
