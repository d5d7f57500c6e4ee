"""Subordinate user and group ids: who may map which (subuid(5)), and the helper that maps them (newuidmap(1))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Ranges = tuple[tuple[int, int], ...]


def ranges(text: str, uid: int, name: str | None) -> Ranges:
    """The (first id, count) ranges that a file in subuid(5)'s format gives to a user, by name or by number."""
    found = []
    for line in text.splitlines():
        fields = line.split("#")[0].strip().split(":")
        if len(fields) == 3 and fields[0] in (name, str(uid)) and fields[1].isdigit() and fields[2].isdigit():
            found.append((int(fields[1]), int(fields[2])))
    return tuple(found)


def mapping(own: int, given: Iterable[tuple[int, int]]) -> list[str]:
    """newuidmap's arguments after the pid: `own` becomes 0, the given ranges follow from 1 without a gap."""
    arguments = ["0", str(own), "1"]
    inside = 1
    for first, count in given:
        arguments += [str(inside), str(first), str(count)]
        inside += count
    return arguments


def granted(uid: int) -> tuple[Ranges, Ranges]:
    """The uid and gid ranges of a user; a missing file grants nothing."""
    name = user_name(uid)
    files = (Path("/etc/subuid"), Path("/etc/subgid"))
    first, second = (ranges(file.read_text(), uid, name) if file.exists() else () for file in files)
    return first, second


def user_name(uid: int) -> str | None:
    """The login name of a uid, if it has one."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


class Mapper:
    """A child that stays in the old user namespace and maps ids for its parent once that has made the new one."""

    def __init__(self, uid: int, gid: int) -> None:
        self._child = 0
        uids, gids = granted(uid)
        from shutil import which  # here, because root needs it not

        tools = which("newuidmap"), which("newgidmap")
        if not uids or not gids or tools[0] is None or tools[1] is None:
            return
        parent = os.getpid()
        wait, self._go = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            self._serve(
                wait, tools[0], [str(parent), *mapping(uid, uids)], tools[1], [str(parent), *mapping(gid, gids)]
            )
        os.close(wait)

    def _serve(self, wait: int, uid_tool: str, uid_map: list[str], gid_tool: str, gid_map: list[str]) -> None:
        """The child: one byte says go, the end of the pipe says that there is nothing to do."""
        status = 1
        try:
            os.close(self._go)
            if os.read(wait, 1):
                runs = ((uid_tool, uid_map), (gid_tool, gid_map))
                status = 0 if all(os.spawnv(os.P_WAIT, tool, [tool, *args]) == 0 for tool, args in runs) else 1
        finally:
            os._exit(status)

    def apply(self) -> bool:
        """Map the ids of this process; False if there are none to map or the helper would not."""
        if not self._child:
            return False
        os.write(self._go, b"x")
        return self._finish() == 0

    def abandon(self) -> None:
        """End the child without mapping anything."""
        if self._child:
            self._finish()

    def _finish(self) -> int:
        os.close(self._go)
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
