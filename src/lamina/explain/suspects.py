"""The usual suspects: files that come out differently each time a step runs, why they do, and what cures it.

`docs/verify.md` has the same table.
"""

from __future__ import annotations

import re

from msgspec import Struct


class Suspect(Struct, frozen=True):
    """One sort of file. `name` is what the page calls it; `path` is searched in the absolute path; `magic` are the
    file's first bytes where they tell it, and `offsets` the bytes (first, end) between which the first difference is
    then, where only those differ for this reason."""

    name: str
    why: str
    cure: str
    path: str = ""
    magic: bytes = b""
    offsets: tuple[int, int] | None = None


_IN_THE_STEP = "delete it in the same RUN"

#: What is told first stands first.
SUSPECTS: tuple[Suspect, ...] = (
    Suspect(
        "`*.pyc`, `__pycache__`",
        "compiled Python holds the time of its source",
        "build with --source-date-epoch auto, which makes it hold a hash instead, or set PYTHONDONTWRITEBYTECODE=1",
        path=r"\.pyc$|/__pycache__(/|$)",
    ),
    Suspect(
        "`/var/log/…`",
        "logs hold times",
        "delete them in the same RUN: rm -rf /var/log/*",
        path=r"^/var/log/",
    ),
    Suspect(
        "`/var/lib/apt/lists/…`",
        "the package lists of the day",
        "delete them in the same RUN: rm -rf /var/lib/apt/lists/*",
        path=r"^/var/lib/apt/lists/",
    ),
    Suspect(
        "`/var/cache/…`",
        "a cache that holds times",
        "give it a --mount=type=cache, or delete it in the same RUN",
        path=r"^/var/cache/",
    ),
    Suspect(
        "`.cache`, `_cacache`",
        "a tool's cache, which holds times",
        "give it a --mount=type=cache, or tell the tool to keep none (pip --no-cache-dir)",
        path=r"/(\.cache|_cacache)(/|$)",
    ),
    Suspect(
        "`/tmp/…`, `/var/tmp/…`",
        "something was left over, often under a random name",
        _IN_THE_STEP + ", or give it a --mount=type=tmpfs",
        path=r"^(/var)?/tmp/",
    ),
    Suspect(
        "`/etc/shadow`",
        "useradd and passwd note the day",
        "build with --source-date-epoch auto, which they look at",
        path=r"^/etc/shadow-?$",
    ),
    Suspect(
        "`machine-id`, `ssh_host_*`",
        "an identity, made at random when a package was installed",
        "delete it in the same RUN, and have it made when a container starts",
        path=r"^/etc/machine-id$|^/var/lib/dbus/machine-id$|^/etc/ssh/ssh_host_",
    ),
    Suspect(
        "`.git/…`",
        "git's index holds times, and its packs depend on the moment",
        "take the files without it: ADD of a repository, or rm -rf .git in the same RUN",
        path=r"/\.git(/|$)",
    ),
    Suspect(
        "`.npm/_logs/…`",
        "npm's logs hold times, in their names as well",
        "give it a --mount=type=cache, or delete them in the same RUN: rm -rf ~/.npm/_logs",
        path=r"/\.npm/_logs(/|$)",
    ),
    Suspect(
        "`.composer/cache/…`",
        "composer clears its cache away now and then, at random",
        "give it a --mount=type=cache, or set COMPOSER_CACHE_DIR=/dev/null",
        path=r"/\.composer/cache(/|$)",
    ),
    Suspect(
        "`.rustc_info.json`",
        "cargo's notes on its compiler, in a random order",
        _IN_THE_STEP,
        path=r"/\.rustc_info\.json$",
    ),
    Suspect(
        "`.gradle/…/*.lock`, `*.bin`, `cache.properties`",
        "gradle's notes on what it has done hold times and the numbers of processes",
        "give ~/.gradle a --mount=type=cache, or delete .gradle in the same RUN",
        path=r"/\.gradle/(.*/)?([^/]+\.(lock|bin)|cache\.properties)$|/\.gradle/daemon/",
    ),
    Suspect(
        "gzip",
        "gzip's header holds a time",
        "compress with gzip -n",
        magic=b"\x1f\x8b",
        offsets=(4, 8),
    ),
    Suspect(
        "`*.a`",
        "the members of an archive of object files hold times",
        "make it with ar D (ARFLAGS=Dcr)",
        magic=b"!<arch>\n",
    ),
    Suspect(
        "zip, jar, wheel",
        "the members of a zip archive hold times",
        "build with --source-date-epoch auto if the tool that packs looks at it, else set the files' times first",
        magic=b"PK\x03\x04",
    ),
    Suspect(
        "`*.tar`",
        "the members of a tar hold times, in the order of a directory",
        "pack with tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner",
        path=r"\.tar$",
    ),
)


def suspect(path: str, magic: bytes = b"", offset: int | None = None) -> Suspect | None:
    """The first that fits a file that differs: its absolute path, its first bytes, and where the contents begin to
    differ. None if it is none of them."""
    for each in SUSPECTS:
        by_path = not each.path or re.search(each.path, path) is not None
        inside = each.offsets is None or (offset is not None and each.offsets[0] <= offset < each.offsets[1])
        if by_path and magic.startswith(each.magic) and inside:
            return each
    return None
