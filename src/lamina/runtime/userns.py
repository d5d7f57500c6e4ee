"""A user namespace for steps that run as somebody else than root under bubblewrap, which cannot change users itself.

Whoever owns a user namespace is root in it. So the step's user gets one, owned by it, in which every id keeps its
meaning: bubblewrap starts as that user, sets everything up as the namespace's root, and gives up all capabilities
before the step begins. The owned namespace lies inside another one, which belongs to root: else a process of the
machine that happens to have the same uid could enter it, and with its capabilities reach every file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from lamina.diagnostics import BuildFailure


class UserNamespaces(Struct, frozen=True):
    """Two open descriptors: the namespace to start in, as any user, and the one that `uid` owns, inside it."""

    outer: int
    owned: int


def create(uid: int) -> UserNamespaces:
    """Make the pair for `uid`. The caller closes the descriptors. Raises BuildFailure `runtime-no-user-namespace`."""
    script = Path(__file__).with_name("userns_child.py")
    import socket  # here, because most steps run as root

    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(script), str(theirs.fileno()), str(uid)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        theirs.close()
        # Owned first, then outer; after a failure the socket ends early.
        descriptors = [descriptor for _ in range(2) for descriptor in socket.recv_fds(ours, 1, 1)[1]]
    if len(descriptors) != 2:
        for descriptor in descriptors:
            os.close(descriptor)
        raise BuildFailure(
            "runtime-no-user-namespace",
            f"no user namespace could be made for the step's user {uid}",
            cause=done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or None,
            hint="run the step as root, or choose `--runtime runc`",
        )
    return UserNamespaces(outer=descriptors[1], owned=descriptors[0])
