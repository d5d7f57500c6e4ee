"""What `lamina advise` takes for 1,000 commits of a repository with 10,000 files: a process as a whole.

`python -m bench.replay [COMMITS [FILES]]` makes the repository, asks for advice, and prints seconds and memory.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct
from tests.support.fast_history import add_commits

COMMITS, FILES = 1000, 10_000
SECONDS_GOAL, MEMORY_GOAL = 10.0, 300 << 20

DOCKERFILE = """FROM busybox
WORKDIR /app
COPY . .
RUN apt-get update && apt-get install -y git
RUN pip install pipenv
RUN pipenv install --deploy
RUN npm ci
RUN make
"""


class Replayed(Struct, frozen=True):
    """Seconds of wall clock, and the most memory in bytes, of the command that `better` says whether it found
    something."""

    seconds: float
    memory: int
    better: bool


def repository(folder: Path, commits: int = COMMITS, files: int = FILES) -> None:
    """A checkout of which each commit changes five files, and some the lock file."""
    dice = random.Random(1)
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    first = {f"src/d{number % 100}/f{number}.py": "0" for number in range(files)}
    first |= {"Dockerfile": DOCKERFILE, ".dockerignore": ".git\n**/*.md\n", "Pipfile": "", "Pipfile.lock": "{}"}
    first |= {"package.json": "{}", "package-lock.json": "{}"}
    history: list[dict[str, str]] = [first]
    for number in range(1, commits + 1):
        changed = {f"src/d{place % 100}/f{place}.py" for place in (dice.randrange(files) for _ in range(5))}
        locks = {"Pipfile.lock": f'{{"a": {number}}}'} if dice.random() < 0.03 else {}
        history.append({**dict.fromkeys(sorted(changed), str(number)), **locks})
    add_commits(folder, history)


def measured(folder: Path, root: Path, commits: int = COMMITS) -> Replayed:
    """One run of the command on a repository, with its store at `root`."""
    line = [sys.executable, "-c", "from lamina.cli import main; raise SystemExit(main())"]
    line += ["advise", str(folder), "--commits", str(commits), "--json"]
    begun = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, env={**os.environ, "LAMINA_ROOT": str(root)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 10):
        raise RuntimeError(f"lamina advise ended with {process.returncode}")
    return Replayed(time.monotonic() - begun, usage.ru_maxrss << 10, process.returncode == 10)


def main() -> int:
    commits, files = (int(word) for word in [*sys.argv[1:], *map(str, (COMMITS, FILES)[len(sys.argv) - 1 :])][:2])
    with TemporaryDirectory(prefix="lamina-bench-") as folder:
        repository(Path(folder) / "app", commits, files)
        found = measured(Path(folder) / "app", Path(folder) / "store", commits)
    sys.stdout.write(f"{commits} commits, {files} files: {found.seconds:.1f} s, {found.memory >> 20} MiB\n")
    return 0 if found.seconds < SECONDS_GOAL and found.memory < MEMORY_GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
