"""The mark of a layer of a reproducible build: in its tar no file is later than a given time.

The files of the layer directory keep their times, for steps that stand on it may compare them (make, cargo, and what
they left in a cache mount). Only what is written out of it is the same on every machine, and so are the diff ID and all
that is made of it. The mark lies on the layer's root as an attribute among overlayfs' own: those never show in a
container and never enter a tar. Why: docs/adr/0015-reproducible.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.image.xattrs import Namespace

#: Where no time is too late.
NO_LIMIT = 1 << 62


def mark_latest(layer: Path, latest: int, namespace: Namespace) -> None:
    """Mark a layer directory with a time, in seconds since 1970.

    Raises BuildFailure `image-unsupported-attribute` if its file system holds no such attributes.
    """
    try:
        os.setxattr(layer, _name(namespace), b"%d" % latest)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
            raise
        raise BuildFailure(
            "image-unsupported-attribute",
            "a reproducible build needs a store on a file system with extended attributes",
            cause=error.strerror,
            hint="choose another place with --root",
        ) from None


def latest_of(layer: str | int | os.PathLike[str], namespace: Namespace) -> int:
    """The time that a layer directory (a path or a descriptor) is marked with, `NO_LIMIT` without a mark."""
    try:
        return int(os.getxattr(layer, _name(namespace)))
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS):
            raise
        return NO_LIMIT


class Latest:
    """The times of a stack's layers, for whoever reads merged trees."""

    def __init__(self, layers: Sequence[str | os.PathLike[str]], namespace: Namespace) -> None:
        marks = [(f"{os.fspath(layer)}/", latest_of(layer, namespace)) for layer in layers]
        self._marked = [(folder, latest) for folder, latest in marks if latest != NO_LIMIT]

    def of(self, real: str) -> int:
        """The time for a path inside one of the layer directories."""
        return next((latest for folder, latest in self._marked if real.startswith(folder)), NO_LIMIT)


def _name(namespace: Namespace) -> str:
    return f"{namespace}.overlay.lamina.latest"
