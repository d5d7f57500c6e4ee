"""The program behind `userns.create`: `userns_child.py SOCKET UID`, run by a bare interpreter without lamina.

It sends two descriptors through the socket: the user namespace that UID owns, then the one around it. Both map every
id that this process has to itself.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_DUMPABLE = 4


def main(channel: socket.socket, uid: int) -> None:
    """Make both namespaces and send their descriptors, each in a message of its own."""

    def become_owner() -> None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    def make_owned() -> None:
        socket.send_fds(channel, [b"x"], [_new_namespace(become_owner, lambda: None)])

    socket.send_fds(channel, [b"x"], [_new_namespace(lambda: None, make_owned)])


def _new_namespace(before: Callable[[], None], then: Callable[[], None]) -> int:
    """A descriptor of a user namespace that a child makes; it runs `before` first, and `then` once ids are mapped."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            before()
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            # A process that changed its user is closed to others, and our parent must write its maps.
            libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            socket.send_fds(theirs, [b"x"], [os.open("/proc/self/ns/user", os.O_RDONLY)])
            theirs.recv(1)
            then()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    theirs.close()
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if descriptors:
        for kind in ("uid_map", "gid_map"):
            rows = [row.split() for row in Path("/proc/self", kind).read_text().splitlines()]
            Path("/proc", str(child), kind).write_text("".join(f"{row[0]} {row[0]} {row[2]}\n" for row in rows))
        ours.send(b"x")
    if os.waitpid(child, 0)[1] != 0 or not descriptors:
        sys.exit(1)
    return descriptors[0]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
