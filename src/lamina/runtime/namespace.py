"""The mount namespace that lamina's own process lives in, so that even a SIGKILL of lamina leaves no mount behind.

Root makes itself a private mount namespace. Anybody else becomes root in a user namespace of their own, with the
sub-uids of /etc/subuid when there are any (user_namespaces(7), subuid(5)), else with one uid only.
"""

from __future__ import annotations

import errno
import os
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.runtime import kernel, subids


class Rung(Struct, frozen=True):
    """What this machine lets us do. `xattr` is the xattr namespace that overlayfs keeps its marks in."""

    name: Literal["root", "rootless", "rootless-single"]
    xattr: Literal["trusted", "user"]


@cache
def enter() -> Rung:
    """Enter the namespaces, once a process, and say which rung was reached.

    Must run before any thread exists: a namespace belongs to a thread. Raises BuildFailure `runtime-no-namespaces`
    when the kernel refuses, and `internal-late-namespace` when there are threads already.
    """
    if len(os.listdir("/proc/self/task")) > 1:
        raise BuildFailure("internal-late-namespace", "namespaces must be entered before the first thread starts")
    if os.geteuid() == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
        except OSError as refused:
            if refused.errno != errno.EPERM:
                raise _refused(refused) from refused
        else:
            _stop_propagation()
            return _rung_of_root()
    return _enter_user_namespace()


def _rung_of_root() -> Rung:
    """Root of the machine, or root of a user namespace that somebody made around us (`podman unshare`, a container)?"""
    rows = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    if rows == [(0, 0, 2**32 - 1)]:
        return Rung("root", "trusted")
    return Rung("rootless" if sum(row[2] for row in rows) > 1 else "rootless-single", "user")


def _enter_user_namespace() -> Rung:
    uid, gid = os.geteuid(), os.getegid()
    mapper = subids.Mapper(uid, gid)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    except OSError as refused:
        mapper.abandon()
        raise _refused(refused) from refused
    try:
        if mapper.apply():
            rung = Rung("rootless", "user")
        else:
            _map_one(uid, gid)
            rung = Rung("rootless-single", "user")
        _stop_propagation()
    except OSError as refused:
        raise _refused(refused) from refused
    return rung


def _map_one(uid: int, gid: int) -> None:
    """Map our own uid and gid to 0; the kernel wants setgroups(2) given up for that (user_namespaces(7))."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _stop_propagation() -> None:
    """Our mounts stay ours; what the machine mounts later still reaches us.

    Raises BuildFailure `runtime-no-namespaces` where the root directory is no mount point, as in a plain chroot.
    """
    try:
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SLAVE)
    except OSError as refused:
        if refused.errno != errno.EINVAL:
            raise
        raise BuildFailure(
            "runtime-no-namespaces",
            "the root directory is no mount point, so mounts of steps could not be kept apart from the machine's",
            cause=refused.strerror,
            hint="before entering this chroot, bind it on itself: `mount --bind DIR DIR`",
        ) from refused


def _refused(error: OSError) -> BuildFailure:
    return BuildFailure(
        "runtime-no-namespaces",
        "this machine does not let this user run isolated steps",
        cause=error.strerror,
        hint=mend(Path("/proc/sys")),
    )


def mend(sysctl: Path) -> str:
    """The line that lets an ordinary user make user namespaces, by what the kernel's settings below `sysctl` say."""
    switches = (
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=28633"),
    )
    for name, bad, line in switches:
        setting = sysctl / name
        if setting.exists() and setting.read_text().strip() == bad:
            return f"run `{line}`"
    return "run lamina as root, or give the surrounding container `--privileged` or `--security-opt seccomp=unconfined`"
