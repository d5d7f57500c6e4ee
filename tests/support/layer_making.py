"""Layer directories on disk, made and described for the tests of `lamina.image`."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lamina.keys.filetree import FileRecord, Selection
from lamina.ports.layers import Placement
from lamina.ports.storing import Workspace

OLD = 1_000_000_000_123_456_789  # nanoseconds: a time that nothing gets by itself

#: What a tree description may hold: bytes are a file, `->x` a link, None a directory, "whiteout", "opaque", "fifo".
Tree = Mapping[str, bytes | str | None]


def grow(root: Path, tree: Tree) -> Path:
    """Make a layer directory; parents come by themselves, everything is dated OLD."""
    root.mkdir(parents=True, exist_ok=True)
    for name, what in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, bytes):
            path.write_bytes(what)
        elif what is None or what == "opaque":
            path.mkdir(exist_ok=True)
        elif what == "whiteout":
            os.mknod(path, stat.S_IFCHR, 0)
        elif what == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(what.removeprefix("->"))
        if what == "opaque":
            os.setxattr(path, "trusted.overlay.opaque", b"y")
    for above, dirs, files in os.walk(root, topdown=False):
        for entry in [*dirs, *files]:
            os.utime(Path(above, entry), ns=(OLD, OLD), follow_symlinks=False)
    return root


def workspace(base: Path, *layers: Path) -> Workspace:
    """A workspace above `layers`, topmost first."""
    for name in ("upper", "work", "scratch"):
        (base / name).mkdir(parents=True)
    return Workspace(layers, base / "upper", base / "work", base / "scratch")


@contextmanager
def mounted(work: Workspace) -> Iterator[Path]:
    """The kernel's own view of a workspace, read only, so that neither side changes."""
    point = work.scratch / "merged"
    point.mkdir()
    lower = ":".join(str(layer) for layer in (work.upper, *work.layers))
    if not work.layers:  # overlayfs wants two
        (work.scratch / "empty").mkdir(exist_ok=True)
        lower += f":{work.scratch}/empty"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={lower}", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)
        point.rmdir()


def describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a plain directory: path → kind, mode, owner, what it holds."""
    found: dict[str, tuple[object, ...]] = {}
    for above, dirs, files in os.walk(root):
        for name in [*dirs, *files]:
            path = Path(above, name)
            info = path.lstat()
            held: object = info.st_rdev
            if path.is_symlink():
                held = path.readlink().as_posix()
            elif stat.S_ISREG(info.st_mode):
                held = path.read_bytes()
            found[path.relative_to(root).as_posix()] = (info.st_mode, info.st_uid, info.st_gid, held)
    return found


def merged(work: Workspace) -> dict[str, tuple[object, ...]]:
    """`describe` of what the kernel shows for a workspace."""
    with mounted(work) as point:
        return describe(point)


class DirectoryReader:
    """The simplest `ContextReader`: a directory that nobody changes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def record(self, path: str) -> FileRecord:
        info = (self.root / path).lstat()
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link", stat.S_IFIFO: "fifo"}
        kind = kinds[stat.S_IFMT(info.st_mode)]
        target = os.readlink(self.root / path) if kind == "link" else ""
        content = hashlib.sha256((self.root / path).read_bytes()).hexdigest() if kind == "file" else ""
        mode = stat.S_IMODE(info.st_mode)
        return FileRecord(path, kind, mode, info.st_size, content, target)  # type: ignore[arg-type]

    def entries(self) -> list[FileRecord]:
        paths = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*")]
        return [self.record(path) for path in sorted(paths)]

    def digested(self, paths: Sequence[str]) -> list[FileRecord]:
        return [self.record(path) for path in paths]

    def open(self, record: FileRecord) -> BinaryIO:
        return io.FileIO(self.root / record.path, "rb")

    def mtime_ns(self, path: str) -> int:
        return (self.root / path).lstat().st_mtime_ns

    def hidden_by(self, path: str) -> None:
        """Nothing is ignored here."""

    def select(self, path: str) -> Selection:
        """What a literal source selects."""
        if path and not (self.root / path).is_dir():
            return Selection(path, False, (self.record(path),))
        inside = [one for one in self.entries() if not path or one.path == path or one.path.startswith(path + "/")]
        return Selection(path, True, tuple(inside))


def placement(
    dest: str,
    *groups: Selection,
    owner: tuple[int, int] | None = None,
    chmod: str = "",
    unpack: bool = False,
    source: tuple[Path, ...] | None = None,
) -> Placement:
    """A placement whose destination is a directory if it ends with a slash, as the planner makes it."""
    return Placement(dest.rstrip("/") or "/", dest.endswith("/"), groups, owner, chmod, unpack, source)
