"""Asking git about the checkout that a context is in.

It may be somebody else's repository, whose configuration git would obey: what could start a program or reach for the
network is switched off here, a folder that only looks like a repository is none, and none of the caller's `GIT_…`
settings gets through. That git trusts the owner of the repository is left to git (`safe.directory`).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SECONDS = 20
_SAFE = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("log.follow", "false"),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
    ("safe.bareRepository", "explicit"),
)


class Unanswered(Exception):
    """Git gave no answer; the text says why."""


def ask(directory: Path, *words: str, given: bytes = b"") -> bytes:
    """What `git WORDS` in a directory prints when it reads `given`. Raises Unanswered."""
    settings = [word for name, value in _SAFE for word in ("-c", f"{name}={value}")]
    line = ["git", "-C", str(directory), "--no-pager", "--no-replace-objects", *settings, *words]
    try:
        done = subprocess.run(line, env=_environment(), input=given, capture_output=True, timeout=_SECONDS)
    except FileNotFoundError:
        raise Unanswered("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unanswered(f"git took more than {_SECONDS} seconds") from None
    except OSError as error:
        raise Unanswered(f"git cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        raise Unanswered(_reason(done.stderr.decode("utf-8", "replace")))
    return done.stdout


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
