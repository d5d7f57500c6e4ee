"""Root file systems that tests build upon, made from Debian's packages.

- `busybox_rootfs(directory)`: a shell and its commands in 2 MB, made in a moment; enough for most tests.
- `python_rootfs()`: Python with pip, some 150 MB, made once in `.dev/` and kept; for tests that install packages.

Both return the path of a plain tar whose bytes do not change between two calls; `lamina import TAR NAME` takes it.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from examples.base_image import python_rootfs

__all__ = ["busybox_rootfs", "python_rootfs"]

BUSYBOX = Path("/bin/busybox")
PATHS = (("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("proc", 0o755), ("root", 0o700), ("sys", 0o755))
FILES = (
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
)


def busybox_rootfs(directory: Path) -> Path:
    """Write `directory`/busybox.tar: `/bin/busybox` of the package busybox-static, a link for each of its commands,
    the usual directories, and the users root and nobody."""
    target = directory / "busybox.tar"
    commands = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for path, mode in (*PATHS, ("tmp", 0o1777)):
            archive.addfile(_member(path, tarfile.DIRTYPE, mode))
        for path, text in FILES:
            _add(archive, path, text.encode(), 0o644)
        _add(archive, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for command in sorted(set(commands) - {"busybox"}):
            link = _member(f"bin/{command}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            archive.addfile(link)
    return target


def _add(archive: tarfile.TarFile, path: str, data: bytes, mode: int) -> None:
    member = _member(path, tarfile.REGTYPE, mode)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _member(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """A member owned by root with a fixed time, so that the archive is the same each time."""
    member = tarfile.TarInfo(path)
    member.type = kind
    member.mode = mode
    member.mtime = 0
    return member
