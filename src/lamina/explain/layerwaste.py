"""Bytes that an image ships and nobody can see: of what sort they are, and what avoids them. A table, in order.

`docs/layers.md` has the same table.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

#: `deleted`: a later layer removes the file; `overwritten`: it has another file there; `copied`: it has the same file
#: again, only with other attributes; `repeated`: the same file again, attributes and all but its time.
Sort = Literal["deleted", "overwritten", "copied", "repeated"]


class Remedy(Struct, frozen=True):
    """What to do about one sort of waste. `sorts` that it is for; `path` is searched in the absolute path; `maker` and
    `hider` are the keywords (`RUN COPY ADD BASE`) of the layers that ship the file and that hide it, empty for any.
    `words` name them as {maker} and {hider}. `name` is what the page calls it."""

    name: str
    words: str
    sorts: tuple[Sort, ...] = ("deleted", "overwritten", "copied", "repeated")
    path: str = ""
    maker: tuple[str, ...] = ()
    hider: tuple[str, ...] = ()


#: What fits first is told.
REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        "inside the base image",
        "nothing here can free it: take a newer or a slimmer base image",
        hider=("BASE",),
    ),
    Remedy(
        "package database",
        "each RUN that installs packages writes the package database anew: install in one RUN",
        sorts=("overwritten", "copied", "repeated"),
        path=r"^/var/lib/(dpkg|apt|rpm|dnf|pacman)/|^/(usr/)?lib/(apk/db|sysimage)/|^/var/cache/(debconf|ldconfig)/"
        r"|^/etc/ld\.so\.cache$",
    ),
    Remedy(
        "deleted from the base image",
        "deleting what the base image has frees nothing: take a slimmer base image, or copy what is needed out of it "
        "with COPY --from",
        sorts=("deleted",),
        maker=("BASE",),
    ),
    Remedy(
        "package index",
        "fetch the package index and delete it in one RUN ({maker}): apt-get update && apt-get install … && rm -rf "
        "/var/lib/apt/lists/*, or give it a --mount=type=cache",
        sorts=("deleted", "overwritten"),
        path=r"^/var/lib/apt/lists/|^/var/cache/(apk|dnf|yum|zypp)/",
    ),
    Remedy(
        "package cache",
        "give {maker} a --mount=type=cache for it, or tell the tool to keep none (pip --no-cache-dir)",
        sorts=("deleted", "overwritten"),
        path=r"^/var/cache/|/\.cache(/|$)|/_cacache(/|$)|/\.npm(/|$)|/\.m2/repository/|/\.gradle/caches/"
        r"|/\.cargo/registry/|/go/pkg/mod/|/(\.)?yarn/cache/|/pnpm/store/",
        maker=("RUN",),
    ),
    Remedy(
        "temporary files",
        "delete them in the RUN that makes them ({maker}), or give it a --mount=type=tmpfs",
        sorts=("deleted", "overwritten"),
        path=r"^(/var)?/tmp/",
        maker=("RUN",),
    ),
    Remedy(
        "copied, then used and deleted",
        "{maker} ships what {hider} deletes: bind it into the RUN that needs it (RUN --mount=type=bind), or do that in "
        "a stage of its own and COPY --from it what is needed",
        sorts=("deleted",),
        maker=("COPY", "ADD"),
    ),
    Remedy(
        "made, then deleted",
        "delete it in the step that makes it: combine {hider} with {maker}, or make it in a stage of its own and "
        "COPY --from it what is needed",
        sorts=("deleted",),
    ),
    Remedy(
        "owner or mode of copied files",
        "{hider} ships the files a second time to change their owner or mode: give {maker} --chown or --chmod instead",
        sorts=("copied",),
        maker=("COPY", "ADD"),
    ),
    Remedy(
        "owner or mode of the base image's files",
        "{hider} ships files of the base image again, with another owner or mode: change only those that need it, or "
        "run as the user that owns them",
        sorts=("copied",),
        maker=("BASE",),
    ),
    Remedy(
        "owner or mode",
        "{hider} ships the files a second time to change their owner or mode: do that in the RUN that makes them "
        "({maker})",
        sorts=("copied",),
    ),
    Remedy(
        "copied twice",
        "{maker} and {hider} ship the same files: keep what the first has out of the second (.dockerignore, COPY "
        "--exclude), unless the first is a small file copied early for the cache's sake",
        sorts=("repeated",),
        maker=("COPY", "ADD"),
        hider=("COPY", "ADD"),
    ),
    Remedy(
        "written again as it was",
        "{hider} writes the files of {maker} again as they were, as touch, cp -r and installers do: leave them alone",
        sorts=("repeated",),
    ),
    Remedy(
        "upgrade of the base image",
        "{hider} replaces files of the base image, which stay in it: take a base image that has them new",
        sorts=("overwritten",),
        maker=("BASE",),
    ),
    Remedy(
        "written twice",
        "{hider} writes what {maker} wrote: combine both steps, or leave the files out of the first",
        sorts=("overwritten",),
    ),
)


def remedy(sort: Sort, path: str, maker: str, hider: str) -> Remedy:
    """The first that fits a hidden file: its absolute path, and the keywords of both layers."""
    return next(one for one in REMEDIES if _fits(one, sort, path, maker, hider))


def _fits(one: Remedy, sort: Sort, path: str, maker: str, hider: str) -> bool:
    keywords = (not one.maker or maker in one.maker) and (not one.hider or hider in one.hider)
    return sort in one.sorts and keywords and (not one.path or re.search(one.path, path) is not None)
