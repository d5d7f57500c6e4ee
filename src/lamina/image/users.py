"""Users and groups as a root file system's /etc/passwd and /etc/group know them (passwd(5), group(5)).

The rules are those of Docker's USER and `--chown` (Dockerfile reference): a number need not be known, a name must be.
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.diagnostics import BuildFailure
from lamina.image.rootfs import Rootfs
from lamina.ports.layers import User

_MAX_ID = (1 << 31) - 1  # what Docker accepts
_MAX_FILE = 16 << 20  # a /etc/passwd of this size is an attack on memory


def resolve_user(rootfs: Rootfs, text: str) -> User:
    """The user `name|uid[:group|gid]`, root if empty. Without a group: passwd's, and those that list the user.

    Raises BuildFailure `step-unknown-user`.
    """
    name, _, group = text.partition(":")
    entry = _passwd(rootfs, name or "0")
    if entry is None and not name.isdigit() and name:
        raise _unknown("user", name, _names(rootfs, "etc/passwd"))
    uid = int(entry[2]) if entry else _number(name or "0")
    home = (entry[5] if entry else "") or "/"
    if group:
        return User(uid, _group(rootfs, group), (), home)
    gid = int(entry[3]) if entry else 0
    groups: list[int] = []
    if entry:
        groups = [int(row[2]) for row in _rows(rootfs, "etc/group", 4) if entry[0] in row[3].split(",")]
    return User(uid, gid, tuple(dict.fromkeys(other for other in groups if other != gid)), home)


def resolve_owner(rootfs: Rootfs, text: str) -> tuple[int, int]:
    """The uid and gid of `--chown=user[:group]`: a number alone is both, a name alone takes its group from passwd.

    Raises BuildFailure `step-unknown-user`.
    """
    name, _, group = text.partition(":")
    if name.isdigit():
        uid = gid = _number(name)
    else:
        user = resolve_user(rootfs, name)
        uid, gid = user.uid, user.gid
    return uid, _group(rootfs, group) if group else gid


def _passwd(rootfs: Rootfs, name: str) -> list[str] | None:
    """The line of a user, by number if it is one."""
    rows = _rows(rootfs, "etc/passwd", 7)
    if name.isdigit():
        uid = _number(name)
        return next((row for row in rows if int(row[2]) == uid), None)
    return next((row for row in rows if row[0] == name), None)


def _group(rootfs: Rootfs, name: str) -> int:
    if name.isdigit():
        return _number(name)
    for row in _rows(rootfs, "etc/group", 4):
        if row[0] == name:
            return int(row[2])
    raise _unknown("group", name, _names(rootfs, "etc/group"))


def _rows(rootfs: Rootfs, path: str, columns: int) -> Iterator[list[str]]:
    """The lines of a passwd or group file whose ids are numbers; short lines are filled up, as lenient readers do."""
    try:
        node = rootfs.walk(path).node
    except OSError:
        node = None  # /etc is no directory, or a ring of links
    if node is None or not node.is_file:
        return
    with rootfs.open(node) as stream:
        text = b"".join(iter(lambda: stream.read(1 << 16), b"")) if node.stat.st_size <= _MAX_FILE else b""
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        row = line.strip().split(":")
        if line.lstrip().startswith("#") or len(row) < 3:
            continue
        row += [""] * (columns - len(row))
        ids = row[2:4] if columns == 7 else row[2:3]
        if row[0] and all(one.isascii() and one.isdigit() and len(one) <= 10 for one in ids):
            yield row


def _names(rootfs: Rootfs, path: str) -> list[str]:
    return [row[0] for row in _rows(rootfs, path, 7 if path == "etc/passwd" else 4)]


def _number(text: str) -> int:
    if not text.isascii() or len(text) > 10 or int(text) > _MAX_ID:
        raise BuildFailure("step-unknown-user", f"{text} is no user or group id", hint=f"ids go from 0 to {_MAX_ID}")
    return int(text)


def _unknown(what: str, name: str, known: list[str]) -> BuildFailure:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=3)
    tool = "useradd" if what == "user" else "groupadd"
    hint = f"did you mean {' or '.join(near)}?" if near else f"create it with RUN {tool}, or give its number"
    file = "/etc/passwd" if what == "user" else "/etc/group"
    return BuildFailure("step-unknown-user", f"the {what} {name!r} is not in the image's {file}", hint=hint)
