"""Layer directories and tars for tests: the facts of a tree, tars of any (also hostile) entries, workspaces."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from lamina.ports.layers import LayerDiff
from lamina.ports.storing import Workspace

Facts = dict[str, tuple[Any, ...]]


def facts(root: Path, *, times: bool = True) -> Facts:
    """Path → all that an image keeps of it, and overlayfs' marks; hard links by the first path of their inode."""
    found: Facts = {}
    first: dict[tuple[int, int], str] = {}
    for path in _paths(root):
        relative = os.path.relpath(path, root)
        info = os.lstat(path)
        kind = stat.S_IFMT(info.st_mode)
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest() if kind == stat.S_IFREG else ""
        target = os.readlink(path) if kind == stat.S_IFLNK else ""
        device = info.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
        whiteout = kind == stat.S_IFCHR and device == 0
        names = [] if kind == stat.S_IFLNK else sorted(os.listxattr(path))
        xattrs = tuple((name, os.getxattr(path, name)) for name in names)
        link = "" if kind == stat.S_IFDIR or whiteout else first.setdefault((info.st_dev, info.st_ino), relative)
        mode = 0 if whiteout else stat.S_IMODE(info.st_mode)
        owner = (0, 0) if whiteout else (info.st_uid, info.st_gid)
        mtime = int(info.st_mtime_ns // 10**9) if times and not whiteout else 0
        found[relative] = (kind, mode, owner, mtime, device, target, content, xattrs, link)
    return found


def _paths(root: Path) -> list[str]:
    """All paths below `root`, in the order of a layer's tar."""
    order: dict[str, bytes] = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = f"{directory}/{name}"
            is_dir = stat.S_ISDIR(os.lstat(path).st_mode)
            order[path] = os.fsencode(path) + (b"/" if is_dir else b"")
    return sorted(order, key=order.__getitem__)


def workspace(base: Path, *layers: Path) -> Workspace:
    """An empty workspace in `base` above `layers` (topmost first)."""
    for name in ("upper", "work", "scratch"):
        (base / name).mkdir(parents=True, exist_ok=True)
    return Workspace(layers, base / "upper", base / "work", base / "scratch")


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A tar entry; `fields` are those of `tarfile.TarInfo`."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, tarfile.LNKTYPE, linkname=target, **fields)


def directory(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, tarfile.DIRTYPE, **fields)


def tar_of(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """The tar of these entries, in this order, unchecked."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def said(layer: LayerDiff) -> LayerDiff:
    """All that a diff says of the files; what they take on the disk is for the file system to say."""
    return replace(layer, disk=None)
