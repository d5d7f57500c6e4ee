"""What is built: contexts with many small files and Dockerfiles with many or heavy steps.

A workload prepares its context once, then is asked before each build to bring the context into the state that the
build shall find. `timing` says what a round's builds mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bench.peers import BASE

COPY_LAST = f"FROM {BASE}\nWORKDIR /app\nRUN echo dependencies > /installed\nCOPY . .\n"
FILES_PER_FOLDER = 100


class Workload:
    """One case of the benchmark."""

    name: str
    title: str
    #: The build before the rounds, which fills the cache, is part of the case.
    warm = False
    #: The tools that can do it at all; empty for all.
    only: tuple[str, ...] = ()
    #: Whether two builds in a row must give the same image or must not.
    same_image = False
    #: Seconds that the context rests after the first build, which is then built once more before the rounds.
    rests = 0.0

    def __init__(self, directory: Path) -> None:
        self.context = directory / self.name

    def prepare(self) -> None:
        """Make the context."""
        self.context.mkdir()

    def begin_round(self, number: int) -> None:
        """Change what is the same for all tools in this round."""

    def builds(self, tool: str, number: int) -> Iterator[str]:
        """Bring the context into the state for each build of the round, then yield the measure's name for it."""
        yield self.name


class Noop(Workload):
    """Nothing changed since the last build, and nothing that is younger than the clocks of file systems can tell: then
    lamina keeps a memo of the build before the rounds."""

    warm = True
    same_image = True
    rests = 2.5

    def __init__(self, directory: Path, files: int) -> None:
        self.name = f"noop-{files}"
        self.title = f"no-op rebuild, {files:,} files"
        self._files = files
        super().__init__(directory)

    def prepare(self) -> None:
        super().prepare()
        write_files(self.context, self._files)
        (self.context / "Dockerfile").write_text(COPY_LAST)


class Change(Noop):
    """One file of the context has other content than at the last build."""

    same_image = False
    rests = 0.0

    def __init__(self, directory: Path, files: int) -> None:
        super().__init__(directory, files)
        self.name = f"change-{files}"
        self.title = f"one changed file among {files:,}"
        self.context = directory / self.name

    def begin_round(self, number: int) -> None:
        (self.context / "folder-0000" / "file-00.txt").write_text(f"round {number}\n")


class Steps(Workload):
    """Trivial RUN steps that no cache knows; one step and twenty-one, so that the difference is twenty steps."""

    name = "steps"
    title = "twenty trivial RUN steps, cold"

    def builds(self, tool: str, number: int) -> Iterator[str]:
        for count, measure in ((1, "steps-1"), (21, "steps-21")):
            runs = (f"RUN echo {tool} {number} {count} {step} > /step-{step}\n" for step in range(count))
            (self.context / "Dockerfile").write_text(f"FROM {BASE}\n" + "".join(runs))
            yield measure


class Write(Workload):
    """A step that writes 1 GiB which does not compress; made from one block, as /dev/urandom would be the slow part."""

    name = "write-1GiB"
    title = "a RUN that writes 1 GiB"

    def builds(self, tool: str, number: int) -> Iterator[str]:
        block = "head -c 16777216 /dev/urandom > /tmp/block"
        copies = "for i in $(seq 64); do cat /tmp/block; done > /big && rm /tmp/block"
        (self.context / "Dockerfile").write_text(f"FROM {BASE}\nRUN echo {tool} {number} && {block} && {copies}\n")
        yield self.name


def workloads(directory: Path) -> list[Workload]:
    """All cases, in the order in which they are run."""
    noops: list[Workload] = [Noop(directory, files) for files in (100, 10_000, 100_000)]
    return [*noops, Change(directory, 10_000), Steps(directory), Write(directory)]


def write_files(context: Path, count: int) -> None:
    """`count` text files of 0.2 to 4 kB, a hundred a folder, with the same content each time."""
    for number in range(count):
        if number % FILES_PER_FOLDER == 0:
            folder = context / f"folder-{number // FILES_PER_FOLDER:04d}"
            folder.mkdir()
        line = hashlib.sha256(str(number).encode()).hexdigest() + "\n"
        (folder / f"file-{number % FILES_PER_FOLDER:02d}.txt").write_text(line * (3 + number * 7 % 60))
