"""Images of the store to registries: blobs side by side while later layers are still being compressed, then manifests,
and tags last, so that no name ever points at half an image."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.engine.job import chains_of
from lamina.engine.narrator import Narrator
from lamina.events import Reporter, Vertex
from lamina.image.ocilayout import read_manifest
from lamina.oci.attestation import is_attestation
from lamina.oci.config import decode_config
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest
from lamina.oci.reference import Reference
from lamina.ports.images import ImageEntry
from lamina.registry.push import RegistryPusher
from lamina.report.words import size
from lamina.workshop.shipping import Form, Shipper
from lamina.workshop.wire import Workshop

_UPLOADS = 4

Moved = Literal["sent", "there", "taken over"]


def push(
    shop: Workshop,
    images: Sequence[Digest],
    names: Sequence[Reference],
    form: Form,
    reporter: Reporter,
    *,
    by_digest: bool = False,
) -> Digest:
    """Send an image, or one index over the images of several platforms, under all names; returns the digest of its
    manifest or index. With `by_digest` it gets no tag.

    Raises BuildFailure `registry-…`, `store-…`, `image-…`, `usage-bad-arguments`.
    """
    narrator, pusher = Narrator(reporter), RegistryPusher(shop.session)
    for name in names:
        shop.session.credentials.lookup(name.registry)  # before a namespace is entered, see `outputs.check`
    root = None
    for repository, wanted in _by_repository(names).items():
        tags = [replace(repository, tag="")] if by_digest else wanted
        root = _Push(shop, pusher, narrator, repository, form).run(images, tags)
    assert root is not None, "there is a name"
    return root


def _by_repository(names: Sequence[Reference]) -> dict[Reference, list[Reference]]:
    found: dict[Reference, list[Reference]] = {}
    for name in names:
        found.setdefault(replace(name, tag="", digest=None), []).append(replace(name, digest=None))
    return found


class _Push:
    """One repository being pushed to."""

    def __init__(
        self, shop: Workshop, pusher: RegistryPusher, narrator: Narrator, repository: Reference, form: Form
    ) -> None:
        self._shop = shop
        self._pusher = pusher
        self._narrator = narrator
        self._repository = repository
        self._form = form
        self._stopped = threading.Event()
        self._believed = True
        self._blobs: dict[Digest, tuple[Descriptor, Future[Moved]]] = {}

    def run(self, images: Sequence[Digest], tags: Sequence[Reference]) -> Digest:
        shipper = Shipper(self._shop, self._form)
        unmade = shipper.unmade(images)
        if unmade:
            _ = self._shop.rung  # entered before there are threads
        with self._narrator.job(f"push {self._repository.familiar()}") as vertex:
            if not unmade:
                root = shipper.named(images, ()).root
                if all(tag.tag and self._pusher.tagged(tag) == root.digest for tag in tags):
                    self._narrator.note(vertex, f"{root.digest} is there already")
                    self._keep(_manifests(root, shipper), tags)
                    return root.digest
            try:
                return self._sent(images, tags, vertex)
            except BuildFailure as failure:
                if "BLOB_UNKNOWN" not in (failure.diagnostic.cause or "") or not self._believed:
                    raise
                # It said that it had a blob which it has not: once more, without asking.
                self._believed = False
                self._blobs.clear()
                return self._sent(images, tags, vertex)

    def _sent(self, images: Sequence[Digest], tags: Sequence[Reference], vertex: Vertex) -> Digest:
        with self._uploads() as pool:

            def start(blob: Descriptor) -> None:
                if self._stopped.is_set():
                    self._moved()  # raises what went wrong: there is no use in compressing more
                if blob.digest not in self._blobs:
                    self._blobs[blob.digest] = blob, pool.submit(self._blob, shipper, blob, vertex)

            shipper = Shipper(self._shop, self._form, start)
            root = shipper.named(images, ()).root
            manifests = _manifests(root, shipper)
            for config in (document.config for _, document in manifests if isinstance(document, Manifest)):
                start(config)
            moved = self._moved()
        self._narrator.note(vertex, _told(moved))
        for descriptor, _ in manifests[1:]:
            self._manifest(replace(self._repository, digest=descriptor.digest), descriptor)
        for tag in tags:
            self._manifest(tag if tag.tag else replace(tag, digest=root.digest), root)
            self._narrator.note(vertex, f"pushed {tag}@{root.digest}")
        self._keep(manifests, tags)
        return root.digest

    def _keep(self, manifests: Sequence[tuple[Descriptor, Manifest | Index]], tags: Sequence[Reference]) -> None:
        """Note where the layers can be had from that are not here: from now on in this repository."""
        store = self._shop.store
        for descriptor, document in manifests:
            if isinstance(document, Manifest) and not is_attestation(descriptor):
                config = decode_config(store.blobs.read(document.config.digest))
                stack = zip(chains_of(config), config.rootfs.diff_ids, strict=True)
                if any(store.snapshots.get(one) is None and store.layer_blobs.any(each) is None for one, each in stack):
                    origin = next(iter(tags), self._repository)
                    entry = ImageEntry(document.config.digest, descriptor.digest, document.layers, origin)
                    self._shop.catalog.add(entry, [tag for tag in tags if tag.tag], time.time())

    def _moved(self) -> list[tuple[Descriptor, Moved]]:
        """What became of each blob, once all are through. Raises the failure that stopped the others."""
        errors = [future.exception() for _, future in self._blobs.values()]
        for error in errors:
            if error is not None and not isinstance(error, CancelledError):
                raise error
        return [(blob, future.result()) for blob, future in self._blobs.values()]

    @contextmanager
    def _uploads(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that send; when the block fails, what is under way is given up at once."""
        pool = ThreadPoolExecutor(_UPLOADS, "push")
        try:
            yield pool
        except BaseException:
            self._stopped.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _blob(self, shipper: Shipper, blob: Descriptor, vertex: Vertex) -> Moved:
        tell = self._narrator.progress(vertex)

        def progress(done: int) -> None:
            if self._stopped.is_set():
                raise CancelledError
            tell(blob.digest, done, blob.size)

        try:
            if self._believed and self._pusher.has_blob(self._repository, blob.digest):
                return "there"
            if not shipper.is_here(blob.digest):
                if self._pusher.mount_blob(self._repository, blob):
                    return "taken over"
                shipper.fetch(blob.digest)
            sent = self._pusher.push_blob(
                self._repository, blob, lambda: shipper.open_blob(blob.digest), progress=progress
            )
            return "sent" if sent else "taken over"
        except BaseException:
            self._stopped.set()  # one failure is enough: the others stop
            raise

    def _manifest(self, name: Reference, descriptor: Descriptor) -> None:
        raw = self._shop.store.blobs.read(descriptor.digest)
        self._pusher.push_manifest(name, raw, descriptor.media_type)


def _manifests(root: Descriptor, shipper: Shipper) -> list[tuple[Descriptor, Manifest | Index]]:
    """The root's own manifest or index, and the manifests of an index."""
    document = read_manifest(root, shipper)
    entries = document.manifests if isinstance(document, Index) else ()
    return [(root, document), *((entry, read_manifest(entry, shipper)) for entry in entries)]


def _told(moved: Sequence[tuple[Descriptor, Moved]]) -> str:
    """`3 blobs sent (12 MB), 2 there, 1 taken over`."""
    kinds: dict[Moved, list[int]] = {}
    for blob, how in moved:
        kinds.setdefault(how, []).append(blob.size)
    sent = kinds.get("sent", [])
    words = [f"{len(sent)} blob{'' if len(sent) == 1 else 's'} sent ({size(sum(sent))})"]
    words += [f"{len(kinds[how])} {word}" for how, word in _WORDS.items() if how in kinds]
    return ", ".join(words)


_WORDS: dict[Moved, str] = {"there": "there already", "taken over": "taken over from another repository"}
