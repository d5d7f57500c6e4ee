"""Mounting a layer stack with overlayfs (Documentation/filesystems/overlayfs.rst of the kernel)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lamina.diagnostics import BuildFailure
from lamina.runtime import kernel
from lamina.runtime.namespace import Rung

ON_OVERLAY = (
    "the store lies on an overlay, as the own disk of a container does, and another overlay cannot be mounted from "
    "there: keep it on a volume, `-v lamina:/var/lib/lamina`, or elsewhere with --root DIR"
)


@contextmanager
def mounted(
    target: Path,
    lowers: Sequence[Path],
    upper: Path | None,
    work: Path | None,
    rung: Rung,
    flags: int = kernel.MS_NODEV,
) -> Iterator[None]:
    """Mount `lowers` (topmost first) below `upper` at `target` while the block runs.

    Without `upper` and `work` it is read-only and wants two lowers, else one. `work` must be a fresh directory: a
    volatile mount spoils it for the next one. Raises BuildFailure
    `runtime-overlay-failed`.
    """
    with ExitStack() as held:
        # Layers are named by open descriptors: any path works, whatever its length, colons or commas, and the whole
        # of 200 layers fits the one page that mount(2) takes.
        options = f"lowerdir={':'.join([_hold(held, path) for path in lowers])}"
        if upper is not None and work is not None:
            options += f",upperdir={_hold(held, upper)},workdir={_hold(held, work)}"
        # Layers must stay plain, for other programs to read; and no redirect that an image brings along is followed.
        options += ",index=off,metacopy=off,redirect_dir=nofollow"
        if rung.xattr == "user":
            options += ",userxattr"
        _mount(target, options, flags)
    try:
        yield
    finally:
        _unmount(target)


def _hold(held: ExitStack, path: Path) -> str:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"


def _mount(target: Path, options: str, flags: int) -> None:
    try:
        try:
            # Without `volatile` (kernel 5.10) the unmount syncs the whole file system that `upper` is on.
            kernel.mount("lamina", str(target), "overlay", flags, options + ",volatile")
        except OSError as refused:
            if refused.errno != errno.EINVAL:
                raise
            kernel.mount("lamina", str(target), "overlay", flags, options)
    except (OSError, ValueError) as failed:
        hint = "`lamina doctor` says whether overlay mounts work here; kernel messages (`dmesg`) have the details"
        if on_overlay(target):
            hint = ON_OVERLAY
        raise BuildFailure(
            "runtime-overlay-failed", "the layers of a step could not be mounted", cause=str(failed), hint=hint
        ) from failed


def _unmount(target: Path) -> None:
    try:
        kernel.unmount(str(target))
    except OSError as busy:
        if busy.errno != errno.EBUSY:
            raise
        kernel.unmount(str(target), kernel.MNT_DETACH)


def on_overlay(path: Path) -> bool:
    """Whether a path lies on an overlay: by proc(5)'s mountinfo, whose third field is the device, and whose field
    behind the lone dash is the file system's type."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()]
    return any(row[2] == number and row[row.index("-") + 1] == "overlay" for row in rows)
