"""Describe a finished layer directory: diff ID, size, and a digest of everything but times, from one walk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore, Thread

from lamina.digest import DiffID, Digest
from lamina.image.tarwrite import write_layer
from lamina.image.xattrs import Namespace
from lamina.ports.layers import LayerDiff


def diff(
    upper: Path, xattr_namespace: Namespace = "trusted", sink: Callable[[bytes], object] | None = None
) -> LayerDiff:
    """One walk, one read of each file; `sink`, if given, gets the layer's tar at the same time.

    The diff ID is the SHA-256 of the tar, `files` that of its timeless form (`lamina.image.tarheader`): equal `files`
    mean that nothing but times differs. Errors: those of `write_layer`.
    """
    whole = hashlib.sha256()

    def both(data: bytes) -> None:
        whole.update(data)
        if sink is not None:
            sink(data)

    with BackgroundHash() as bare:
        stats = write_layer(
            upper, both if sink else whole.update, xattr_namespace=xattr_namespace, timeless=bare.update
        )
    return LayerDiff(
        diff_id=DiffID("sha256:" + whole.hexdigest()),
        size=stats.size,
        empty=stats.entries == 0,
        files=Digest("sha256:" + bare.hexdigest()),
        disk=stats.disk,
    )


class BackgroundHash:
    """SHA-256 that moves to a thread of its own once a large piece arrives.

    Hashing releases the interpreter lock, so a second hash of the same bytes costs almost no time on a second core;
    a layer of small files is hashed where it is, because a thread would cost more than it saves. At most four pieces
    wait. Leaving the `with` block waits for the thread; `hexdigest` is then complete.
    """

    _LARGE = 1 << 20

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self._room = Semaphore(4)
        self._thread: Thread | None = None

    def __enter__(self) -> BackgroundHash:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()

    def update(self, piece: bytes) -> None:
        if self._thread is None:
            if len(piece) < self._LARGE:
                self._hash.update(piece)
                return
            self._thread = Thread(target=self._work, name="layer-hash", daemon=True)
            self._thread.start()
        self._room.acquire()
        self._pieces.put(piece)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)
            self._room.release()
