"""A project for builds with nothing to do, and how to tell that one was answered from its memo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command import PROGRAM, Command

DOCKERFILE = """ARG BASE=base
FROM ${BASE} AS first
WORKDIR /app
COPY . .
FROM base
COPY --from=first /app /copied
COPY keep /keep
LABEL a=b
CMD ["sh"]
"""
FILES = {
    "Dockerfile": DOCKERFILE,
    ".dockerignore": "*\n!keep/**/*.txt\n!src\n",
    "src/one.txt": "1",
    "src/two.py": "22",
    "src/deep/er/three.py": "333",
    "keep/a.txt": "a",
    "keep/in/side/b.txt": "b",
    "keep/in/side/c.log": "ignored",
    "out/ignored.txt": "never entered",
}


def memos(lamina: Command) -> list[Path]:
    folder = lamina.root / "unchanged"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def modules_of(lamina: Command, *words: str | Path) -> set[str]:
    """The modules that a successful command imports."""
    line = [sys.executable, "-X", "importtime", *PROGRAM[1:], *map(str, words)]
    done = subprocess.run(line, env=lamina.environment(), capture_output=True, text=True, check=True)
    return {part.rpartition("|")[2].strip() for part in done.stderr.splitlines() if part.startswith("import time:")}
