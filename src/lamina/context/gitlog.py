"""Which files of a context which commits changed, and when the last commit was, as git tells it (see `checkout`)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from lamina.context.checkout import Unanswered, ask
from lamina.diagnostics import BuildFailure

#: A repository's recent past is what tells how often a COPY will change; older commits are of other habits.
MAX_COMMITS = 1000
#: Of the last second of the year 9999; whether a time can be an image's is the plan's to say.
_DIGITS = 12
_MARK = re.compile(r"\x01[0-9a-f]{40,64}\Z")
#: What git says of a repository that belongs to somebody else.
_NOT_OURS = ("dubious ownership", "unsafe repository")


class Changes(Struct, frozen=True):
    """The changed paths of each commit, newest first, relative to the context; commits that touch nothing in it are
    left out. `unknown` says why there are none, empty if that is known."""

    commits: tuple[tuple[str, ...], ...] = ()
    unknown: str = ""


def changes(directory: Path) -> Changes:
    """The last `MAX_COMMITS` commits that touch `directory`. Never fails: what cannot be known is said instead."""
    words = ["log", f"-n{MAX_COMMITS}", "--format=%x01%H", "--name-only", "-z", "--relative", "--no-renames"]
    words += ["--no-ext-diff", "--no-textconv", "--", "."]
    try:
        return Changes(parse_log(os.fsdecode(ask(directory, *words))))
    except Unanswered as silence:
        return Changes(unknown=str(silence))


def commit_time(directory: Path) -> int:
    """When the commit that is checked out was made (its committer's time), in seconds since the epoch, for
    `--source-date-epoch auto`. The repository is the one that holds `directory`; edits since that commit do not count.

    Raises BuildFailure `context-no-commit-time` without git, a repository that git trusts, or a commit.
    """
    try:
        said = ask(directory, "log", "-n1", "--format=%ct", "--encoding=UTF-8", "--").decode("ascii", "replace").strip()
    except Unanswered as silence:
        raise _no_time(directory, str(silence)) from None
    # Git passes on, or makes up, what a damaged or hostile commit says.
    if not said.isdecimal() or len(said) > _DIGITS:
        raise _no_time(directory, f"the commit's time is {said[:40]!r}")
    return int(said)


def parse_log(text: str) -> tuple[tuple[str, ...], ...]:
    """The output of `git log --format=%x01%H --name-only -z`."""
    commits: list[list[str]] = []
    for word in text.split("\0"):
        if _MARK.match(word):
            commits.append([])
        elif commits and word:
            # A line feed stands between a commit and its first path.
            commits[-1].append(word if commits[-1] else word.removeprefix("\n"))
    return tuple(tuple(paths) for paths in commits if paths)


def _no_time(directory: Path, cause: str) -> BuildFailure:
    hint = "give the seconds since 1970 instead of auto, or build from a git checkout with a commit"
    if any(words in cause for words in _NOT_OURS):
        hint = (
            "if you trust who owns it, add it to git's safe.directory; or give the seconds since 1970 instead of auto"
        )
    return BuildFailure(
        "context-no-commit-time", f"{str(directory)!r} has no commit to take the time of", cause=cause, hint=hint
    )
