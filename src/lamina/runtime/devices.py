"""Device files of a step's own, for root: bwrap would lend it the machine's, which a `chmod` by root would reach."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lamina.runtime import kernel
from lamina.runtime.namespace import Rung

#: Linux' allocated devices, major and minor (Documentation/admin-guide/devices.txt).
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


@contextmanager
def own(scratch: Path, rung: Rung) -> Iterator[tuple[Path, ...]]:
    """Fresh device files below `scratch` while the block runs.

    None in a user namespace: there no device file can be made, and the machine's belong to somebody else.
    """
    if rung.name != "root":
        yield ()
        return
    folder = scratch / "devices"
    folder.mkdir(exist_ok=True)
    kernel.mount("lamina", str(folder), "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    try:
        for name, (major, minor) in _NODES.items():
            os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            (folder / name).chmod(0o666)
        yield tuple(folder / name for name in _NODES)
    finally:
        kernel.unmount(str(folder), kernel.MNT_DETACH)
