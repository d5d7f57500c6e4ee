"""Which permission bits of a context's entries count."""

from __future__ import annotations

from typing import Literal

from lamina.keys.filetree import Kind

#: `keep`: all of them, as in Docker. `git`: those that git would keep, so that two checkouts of a commit are the same
#: whatever the umask was.
Modes = Literal["keep", "git"]


def git_mode(kind: Kind, mode: int) -> int:
    """The mode that an entry has in a checkout under umask 022: a directory 0755; a link as it is, for its bits mean
    nothing; anything else 0755 if its owner may execute it, else 0644."""
    if kind == "link":
        return mode
    return 0o755 if kind == "dir" or mode & 0o100 else 0o644
