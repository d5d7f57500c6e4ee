"""Device files of a step's own, for root: bwrap would lend it the machine's, which a `chmod` by root would reach."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from lamina.runtime import kernel
from lamina.runtime.namespace import Rung

#: Linux' allocated devices, major and minor (Documentation/admin-guide/devices.txt).
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}

#: What BuildKit adds for insecure steps; to them come loop devices.
_INSECURE = {
    "kmsg": (1, 11),
    "net/tun": (10, 200),
    "cuse": (10, 203),
    "fuse": (10, 229),
    "kvm": (10, 232),
    "loop-control": (10, 237),
}
_LOOP = 7  # major number of block devices


class Node(Struct, frozen=True):
    """A device file of a step: its type bit (S_IFCHR, S_IFBLK) and numbers."""

    kind: int
    major: int
    minor: int


def nodes(insecure: bool) -> dict[str, Node]:
    """The device files that a step has beyond what a runtime makes by itself, by their path below /dev."""
    names = _INSECURE if insecure else {}
    found = {name: Node(stat.S_IFCHR, *numbers) for name, numbers in names.items()}
    if insecure:
        existing = [int(path.name[4:]) for path in Path("/dev").glob("loop[0-9]*") if path.name[4:].isdigit()]
        found |= {f"loop{number}": Node(stat.S_IFBLK, _LOOP, number) for number in range(max(existing, default=-1) + 1)}
    return found


@contextmanager
def own(scratch: Path, rung: Rung, insecure: bool) -> Iterator[dict[str, Path]]:
    """Fresh device files below `scratch` while the block runs, by their path below /dev.

    None in a user namespace: there no device file can be made, and the machine's belong to somebody else.
    """
    if rung.name != "root":
        yield {}
        return
    folder = scratch / "devices"
    folder.mkdir(exist_ok=True)
    kernel.mount("lamina", str(folder), "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    try:
        made = {name: Node(stat.S_IFCHR, *numbers) for name, numbers in _NODES.items()} | nodes(insecure)
        for name, node in made.items():
            path = folder / name.replace("/", "-")
            try:
                os.mknod(path, node.kind | 0o666, os.makedev(node.major, node.minor))
            except PermissionError:
                _lend(Path("/dev", name), path)
            else:
                path.chmod(0o666)
        yield {name: path for name in made if (path := folder / name.replace("/", "-")).exists()}
    finally:
        kernel.unmount(str(folder), kernel.MNT_DETACH)


def _lend(device: Path, path: Path) -> None:
    """The device file that is there already, where none may be made, as in a container: nothing if there is none.

    Read-only, so that a step can write to the device and change neither its mode nor its owner.
    """
    if not device.exists():
        return
    path.touch()
    kernel.mount(str(device), str(path), None, kernel.MS_BIND)
    kernel.mount("none", str(path), None, kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID)
