"""The few system calls that Python 3.11 lacks, through ctypes; each raises OSError with the path that failed."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

# <linux/sched.h>
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
# <linux/mount.h>
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 2


@cache
def _libc() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: str | None = None) -> None:
    if result != 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2). `data` must stay below one page, which the kernel cuts it off at without a word."""
    if len(os.fsencode(data)) >= os.sysconf("SC_PAGE_SIZE"):
        raise ValueError("mount options exceed one page")
    _check(
        _libc().mount(
            os.fsencode(source),
            os.fsencode(target),
            None if kind is None else kind.encode(),
            _unsigned_long(flags),
            os.fsencode(data) if data else None,
        ),
        target,
    )


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc().umount2(os.fsencode(target), flags), target)


def unshare(flags: int) -> None:
    """unshare(2); CLONE_NEWUSER needs a process with one thread."""
    _check(_libc().unshare(flags))


def _unsigned_long(value: int) -> ctypes.c_ulong:
    import ctypes

    return ctypes.c_ulong(value)
