"""Mount points that an image lacks, kept out of the layer that the step makes.

They are laid out in a directory that is mounted on top of the image's layers and below the step's own. Directories
that the image does have get the image's attributes there, so that nobody can tell the difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from lamina.runtime.inside import Place


class Target(Struct, frozen=True):
    """A mount point that a step needs: where, and whether a directory or a file."""

    place: Place
    directory: bool


def lay_out(stub: Path, root: int, targets: Iterable[Target]) -> None:
    """Fill the empty directory `stub` with the targets that the mounted `root` (a descriptor) lacks."""
    copied: list[str] = [""]
    for target in targets:
        parts = target.place.path.strip("/").split("/")
        for depth in range(1, len(parts)):
            name = "/".join(parts[:depth])
            folder = stub / name
            if not folder.is_dir():
                folder.mkdir()
                folder.chmod(0o755)  # whatever our umask is
                if depth <= target.place.existing:
                    copied.append(name)
        last = stub / "/".join(parts)
        if target.directory:
            last.mkdir(exist_ok=True)
            last.chmod(0o755)
        else:
            last.touch()
            last.chmod(0o644)
    # Last and deepest first, because filling a directory changes its times.
    for name in reversed(copied):
        _copy_attributes(root, name, stub / name)


def _copy_attributes(root: int, name: str, to: Path) -> None:
    source = os.open(name or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    try:
        status = os.fstat(source)
        os.chown(to, status.st_uid, status.st_gid)
        to.chmod(status.st_mode & 0o7777)
        for xattr in os.listxattr(source):
            os.setxattr(to, xattr, os.getxattr(source, xattr))
        os.utime(to, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(source)
