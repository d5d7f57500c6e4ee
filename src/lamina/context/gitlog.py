"""Which files of a context which commits changed, as git tells it.

The context may be somebody else's repository, whose configuration git would obey: what could start a program or reach
for the network is switched off here, and none of the caller's `GIT_…` settings gets through.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from msgspec import Struct

#: A repository's recent past is what tells how often a COPY will change; older commits are of other habits.
MAX_COMMITS = 1000
_SECONDS = 20
_MARK = re.compile(r"\x01[0-9a-f]{40,64}\Z")
_SAFE = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("log.follow", "false"),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
)


class Changes(Struct, frozen=True):
    """The changed paths of each commit, newest first, relative to the context; commits that touch nothing in it are
    left out. `unknown` says why there are none, empty if that is known."""

    commits: tuple[tuple[str, ...], ...] = ()
    unknown: str = ""


def changes(directory: Path) -> Changes:
    """The last `MAX_COMMITS` commits that touch `directory`. Never fails: what cannot be known is said instead."""
    words = [
        "git",
        "-C",
        str(directory),
        "--no-pager",
        *(word for name, value in _SAFE for word in ("-c", f"{name}={value}")),
    ]
    words += ["log", f"-n{MAX_COMMITS}", "--format=%x01%H", "--name-only", "-z", "--relative", "--no-renames"]
    words += ["--no-ext-diff", "--no-textconv", "--", "."]
    try:
        done = subprocess.run(
            words, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS
        )
    except FileNotFoundError:
        return Changes(unknown="git is not installed")
    except subprocess.TimeoutExpired:
        return Changes(unknown=f"git took more than {_SECONDS} seconds")
    except OSError as error:
        return Changes(unknown=f"git cannot be started: {error.strerror}")
    if done.returncode != 0:
        return Changes(unknown=_reason(done.stderr.decode("utf-8", "replace")))
    return Changes(parse_log(os.fsdecode(done.stdout)))


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


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


def _reason(said: str) -> str:
    if "not a git repository" in said:
        return "the context is not in a git checkout"
    if "does not have any commits" in said:
        return "the repository has no commits yet"
    first = said.strip().partition("\n")[0].removeprefix("fatal: ")
    return f"git says: {first}" if first else "git failed"
