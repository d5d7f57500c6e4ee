"""Many commits in a moment, by git's own import."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_HOUR = 3600


def add_commits(tree: Path, commits: Sequence[Mapping[str, str]], *, start: int = 1_700_000_000) -> None:
    """Each a mapping from paths to new texts, on top of HEAD, one an hour from `start` (seconds since the epoch)."""
    branch = _git(tree, "symbolic-ref", "HEAD").decode().strip()
    parent = subprocess.run(["git", "rev-parse", "-q", "--verify", "HEAD"], cwd=tree, capture_output=True, check=False)
    parts: list[bytes] = []
    for number, files in enumerate(commits):
        message = f"change {number + 1}".encode()
        parts.append(
            f"commit {branch}\ncommitter Tester <tester@example.test> {start + number * _HOUR} +0000\n".encode()
        )
        parts.append(b"data %d\n%s\n" % (len(message), message))
        if number == 0 and parent.returncode == 0:
            parts.append(b"from %s\n" % parent.stdout.strip())
        for path, text in files.items():
            data = text.encode()
            parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    _git(tree, "fast-import", "--quiet", given=b"".join(parts))
    _git(tree, "reset", "-q", "--hard")


def _git(tree: Path, *words: str, given: bytes = b"") -> bytes:
    return subprocess.run(["git", *words], cwd=tree, input=given, capture_output=True, check=True).stdout
