"""Unpacking layers: decompression, limits and the diff ID; `layertarget` makes the files."""

from __future__ import annotations

import errno
import hashlib
from typing import BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID
from lamina.image.decompress import Decompressed
from lamina.image.layertarget import LayerTarget, shown_name
from lamina.image.readahead import ReadAhead
from lamina.image.tarread import ByteStream, TarEntry, TarReader
from lamina.image.upper import Upper
from lamina.image.xattrs import Namespace
from lamina.ports.layers import Limits
from lamina.ports.storing import Workspace


class Unpacker:
    """Implements `ports.LayerUnpacker`. `keep_owners` is False where only one user id exists (rootless, no sub-ids):
    everything then belongs to that user."""

    def __init__(
        self, xattr_namespace: Namespace = "trusted", *, keep_owners: bool = True, limits: Limits | None = None
    ) -> None:
        self._namespace: Namespace = xattr_namespace
        self._keep_owners = keep_owners
        self._limits = limits or Limits()

    def unpack(self, stream: BinaryIO, compression: str, work: Workspace) -> DiffID:
        """Unpack a layer into `work.upper`; returns the diff ID of the uncompressed bytes, read to their very end.

        Raises BuildFailure `image-unsafe-layer` for a tar that reaches out of its root or fakes overlayfs' marks,
        `image-bad-tar`, `image-bad-compression`, `image-unsupported-entry`, `image-too-large` and
        `image-unpack-failed` (an error of the file system). What was unpacked until then stays in `work.upper`.
        """
        hashed = _Hashed(Decompressed(stream, compression, self._limits.max_layer_bytes))
        with ReadAhead(hashed) as ahead, Upper(work, self._namespace) as upper:
            reader = TarReader(ahead, self._limits.max_layer_entries)
            target = LayerTarget(upper, work, self._namespace, self._keep_owners)
            target.prepare_root()
            entry: TarEntry | None = None
            try:
                for entry in reader:
                    target.add(entry, reader)
                target.set_directory_times()
            except OSError as error:
                raise _failed(entry, error) from error
        return hashed.diff_id()

    def gives_back(self, work: Workspace, diff_id: DiffID) -> bool:
        """Whether `work.upper` has this diff ID when it is packed again. Raises BuildFailure `image-…`."""
        from lamina.image.diff import diff  # here, because few layers that are unpacked were made by lamina

        return diff(work.upper, self._namespace).diff_id == diff_id


class _Hashed:
    """Passes a stream on and hashes it."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def diff_id(self) -> DiffID:
        return DiffID("sha256:" + self._hash.hexdigest())


def _failed(entry: TarEntry | None, error: OSError) -> BuildFailure:
    where = f"at its entry {shown_name(entry.name)}" if entry else "at its start"
    return BuildFailure(
        "image-unpack-failed",
        f"a layer cannot be unpacked: the file system failed {where}",
        cause=error.strerror or str(error),
        hint="free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None,
    )
