"""Writing steps to shared caches, in threads of its own: what follows in the build does not wait for it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.digest import ChainID, Digest, digest_of
from lamina.keys.record import CacheRecord
from lamina.oci.descriptor import Descriptor
from lamina.registry.cachestore import MAX_DOCUMENT, CacheStore, failed
from lamina.sharing import documents
from lamina.sharing.documents import Entry, address_name, is_of, key_name
from lamina.sharing.places import CacheTo, Place
from lamina.sharing.prune import Pruned, is_due, prune
from lamina.workshop.shipping import Form, Shipper
from lamina.workshop.wire import Workshop

#: Steps in work at once: while one is compressed, another is on its way.
_AT_ONCE = 3
#: How many entries a document holds, the newest first: of a key, with different results (two machines that ran a step
#: at the same time have two, and each went on from its own); of an address, with different texts.
_VARIANTS = 4
#: How often an entry is written that another writer wrote over at the same moment.
_ATTEMPTS = 4

Opener = Callable[[], BinaryIO]


class Target(Struct, frozen=True):
    """A place to write to, and how."""

    store: CacheStore
    to: CacheTo


class _Stopped(Exception):
    """The user interrupted: what is being sent is given up."""


class Sender:
    """Takes records and writes their steps to all targets. Nothing that goes wrong is raised: `failures` tells it."""

    def __init__(self, shop: Workshop, targets: Sequence[Target]) -> None:
        self._shop = shop
        self._targets = targets
        self._guard = threading.Lock()
        self._records: list[CacheRecord] = []
        self._taken: set[tuple[Digest, ChainID | None]] = set()
        self._damaged: set[ChainID] = set()
        self._files: dict[Digest, bytes | None] = {}
        #: A blob is sent by one thread at a time: the others then find it there.
        self._turns: dict[tuple[str, Digest], threading.Lock] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[None]] = []
        self._puts: list[tuple[Target, Digest, Entry]] = []
        self._stopping = False
        #: What went wrong with a place, the first of each. Nothing more is asked of it.
        self.failures: dict[str, BuildFailure] = {}
        #: Bytes and steps that were sent.
        self.sent = 0
        self.written = 0

    def offer(self, record: CacheRecord) -> None:
        """Have a step written some time."""
        if not self._targets or record.diff_id is None or record.result is None:
            return
        with self._guard:
            if (record.key.digest, record.result) in self._taken:
                return
            self._taken.add((record.key.digest, record.result))
            self._records.append(record)
            if self._pool is not None:
                self._submit(self._pool, record, "max")

    def damaged(self, result: ChainID) -> None:
        """Entries with this result are of no use, however sound they look: they are to be replaced."""
        self._damaged.add(result)

    def start(self) -> None:
        """Begin. From now on there are threads, so the process must have entered its namespaces."""
        with self._guard:
            if self._pool is None and self._targets:
                self._pool = ThreadPoolExecutor(_AT_ONCE, "cache-to")
                for record in self._records:
                    self._submit(self._pool, record, "max")

    @property
    def has_work(self) -> bool:
        """Whether a step was offered."""
        return bool(self._records)

    def finish(self, image: Sequence[ChainID] | None) -> None:
        """Write what is left, and wait for it. `image` are the chains of the image that was built, None if there is
        none."""
        _ = self._shop.rung
        self.start()
        with self._guard:
            for record in self._records:
                if self._pool is not None and image is not None and record.result in image:
                    self._submit(self._pool, record, "min")
            waiting = tuple(self._waiting)
        for future in waiting:
            future.result()
        # One that read before we wrote may have written after we looked: so look once more, now that that is long ago.
        if self._pool is not None and self._puts:
            for future in [self._pool.submit(self._look_again, *put) for put in self._puts]:
                future.result()

    def clear_away(self) -> dict[str, Pruned]:
        """Keep the limits of the places that have some, if nobody did for most of a day: what went, by title."""
        done: dict[str, Pruned] = {}
        for target in self._targets:
            title, store = target.store.title, target.store
            if not target.to.limits or title in self.failures or self._stopping:
                continue
            try:
                if is_due(store):
                    done[title] = prune(store, target.to.limits)
            except BuildFailure as failure:
                self._failed(title, failure)
            except Exception as error:  # whatever it is, the build is none the worse for it
                self._failed(title, failed(title, "be cleared away", repr(error)))
        return done

    def is_for(self, place: Place) -> bool:
        """Whether steps are written to a place."""
        return any(target.to.place == place for target in self._targets)

    @property
    def has_limits(self) -> bool:
        return any(target.to.limits for target in self._targets)

    def stop(self) -> None:
        """Give up what is not done."""
        self._stopping = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, record: CacheRecord, mode: str) -> None:
        targets = [target for target in self._targets if target.to.mode == mode]
        if targets:
            self._waiting.append(pool.submit(self._write, record, targets))

    # --- in the threads ----------------------------------------------------------------------------------------------
    def _write(self, record: CacheRecord, targets: Sequence[Target]) -> None:
        plain = documents.stripped(record)
        for target in targets:
            self._guarded(target, partial(self._write_to, target, plain))

    def _guarded(self, target: Target, action: Callable[[], None]) -> None:
        """Do something with a place, unless it failed before or the user interrupted."""
        title = target.store.title
        if title in self.failures or self._stopping:
            return
        try:
            action()
        except _Stopped:
            return
        except BuildFailure as failure:
            self._failed(title, failure)
        except Exception as error:  # whatever it is, the build is none the worse for it
            self._failed(title, failed(title, "be written", repr(error)))

    def _failed(self, title: str, failure: BuildFailure) -> None:
        """What concerns the step alone, such as that its layer was evicted meanwhile, costs that step its entry."""
        if failure.diagnostic.reference.startswith("registry-"):
            self.failures.setdefault(title, failure)

    def _write_to(self, target: Target, record: CacheRecord) -> None:
        keys = (record.content_key, record.key.digest)
        there = self._found(target, record.key.digest, record)
        if there is not None and not self._is_lost(target, there):
            return  # it is written last
        missing = [key for key in keys if self._found(target, key, record) is None]
        entry, taken = self._sent(target, record)
        for key in missing:
            self._put(target, key, entry)
        for blob, open_blob in taken if not target.store.collects else ():
            # Somebody who clears away may have looked just before it was named.
            self._send(target, blob, open_blob)
        with self._guard:
            self.written += 1
        self._note_address(target, entry)

    def _found(self, target: Target, key: Digest, record: CacheRecord) -> Entry | None:
        """The entry that the place has of this very outcome of a step."""
        found = (entry for entry in self._entries(target, key) if entry.record.result == record.result)
        return next(found, None)

    def _is_lost(self, target: Target, entry: Entry) -> bool:
        """Mark an entry as used. If that was due, it is looked whether its layer is still there: it may have been
        cleared away while the entry was written."""
        store, record = target.store, entry.record
        if not store.refresh(key_name(record.key.digest), entry.written) or store.has(entry.layer.digest):
            return False
        assert record.result is not None
        self.damaged(record.result)
        return True

    def _entries(self, target: Target, key: Digest) -> list[Entry]:
        """The entries that the place has for a key, as far as they are of use."""
        entries = read_entries(target.store, key_name(key), target.to.secret)
        return [entry for entry in entries if is_of(entry, key) and entry.record.result not in self._damaged]

    def _put(self, target: Target, key: Digest, entry: Entry) -> None:
        """Put an entry before those of its key. Another writer may do the same at this moment: so look once more."""
        with self._guard:
            self._puts.append((target, key, entry))
        self._put_until_there(target, key, entry)

    def _look_again(self, target: Target, key: Digest, entry: Entry) -> None:
        """Put an entry once more that another writer has written over since."""

        def look() -> None:
            if self._found(target, key, entry.record) is None:
                self._put_until_there(target, key, entry)

        self._guarded(target, look)

    def _put_until_there(self, target: Target, key: Digest, entry: Entry) -> None:
        for _ in range(_ATTEMPTS):
            others = [one for one in self._entries(target, key) if one.record.result != entry.record.result]
            self._write_document(target, key_name(key), (entry, *others[: _VARIANTS - 1]), layers=True)
            if self._found(target, key, entry.record) is not None:
                return

    def _write_document(self, target: Target, name: str, entries: tuple[Entry, ...], *, layers: bool) -> None:
        document = documents.pack(entries, target.to.secret)
        if len(document) > MAX_DOCUMENT and len(entries) > 1:
            return self._write_document(target, name, entries[:1], layers=layers)
        if len(document) <= MAX_DOCUMENT:
            blobs = {blob.digest: blob for one in entries for blob in (one.blobs if layers else one.files.values())}
            try:
                target.store.write(name, document, tuple(blobs.values()))
            except BuildFailure:
                if len(entries) == 1:
                    raise
                # A registry takes no manifest of blobs that it has no more: those of the others may be gone.
                self._write_document(target, name, entries[:1], layers=layers)
        return None

    def _sent(self, target: Target, record: CacheRecord) -> tuple[Entry, list[tuple[Descriptor, Opener]]]:
        """Send the blobs of a step. Also gives those that were there."""
        to, store = target.to, self._shop.store
        assert record.result is not None and record.diff_id is not None
        shipper = Shipper(self._shop, Form(compression=to.compression, level=to.level))
        layer = shipper.layer(record.result, record.diff_id)
        again = record.result in self._damaged
        taken: list[tuple[Descriptor, Opener]] = []
        open_layer = partial(store.blobs.open, layer.digest)
        if not self._send(target, layer, open_layer, again=again):
            taken.append((layer, open_layer))
        self._damaged.discard(record.result)
        files: dict[Digest, Descriptor] = {}
        for part in record.key.parts:
            data = self._packed_files(part.files) if part.files is not None else None
            if part.files is not None and data is not None:
                files[part.files] = blob = Descriptor(documents.FILES_TYPE, digest_of(data), len(data))
                if not self._send(target, blob, partial(io.BytesIO, data)):
                    taken.append((blob, partial(io.BytesIO, data)))
        packed = shipper.packed(record.diff_id, layer)
        return Entry(documents.FORMAT, record, layer, files, to.writer, time.time(), packed), taken

    def _send(self, target: Target, blob: Descriptor, open_blob: Opener, *, again: bool = False) -> bool:
        """Have a blob there; False if it was."""
        with self._guard:
            turn = self._turns.setdefault((target.store.title, blob.digest), threading.Lock())
        with turn:
            if not again and target.store.has(blob.digest):
                return False
            if target.store.send(blob, open_blob, self._check):
                with self._guard:
                    self.sent += blob.size
            return True

    def _check(self, _: int) -> None:
        if self._stopping:
            raise _Stopped

    def _packed_files(self, digest: Digest) -> bytes | None:
        with self._guard:
            if digest not in self._files:
                records = self._shop.store.facts.get(digest)
                self._files[digest] = documents.pack_files(records) if records is not None else None
            return self._files[digest]

    def _note_address(self, target: Target, entry: Entry) -> None:
        """Put the entry before those of its address. Of writers at once the last wins: it only serves explanations."""
        name = address_name(entry.record.address)
        others = read_entries(target.store, name, target.to.secret)
        different = [other for other in others if other.record.text != entry.record.text]
        self._write_document(target, name, (entry, *different[: _VARIANTS - 1]), layers=False)


def read_entries(store: CacheStore, name: str, secret: bytes | None) -> tuple[Entry, ...]:
    """The sound entries of a document, none if there is none or it is not to be believed. Raises BuildFailure."""
    document = store.read(name)
    if document is None:
        return ()
    try:
        return tuple(filter(documents.is_sound, documents.unpack(document, secret)))
    except ValueError:
        return ()
