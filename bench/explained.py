"""What explanation data costs: its part of the store's bytes, and its part of a build's time.

`explained` makes a context of 10,000 files, builds it, and then changes one file and builds, ten times. Each build is a
process of its own (`python -m bench.explained CONTEXT`), which calls the Python API with clocks around what serves
explanations. Nothing in lamina knows of them.
"""

from __future__ import annotations

import importlib
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from bench.measure import cleared, output_of
from bench.peers import IMAGE, Lamina
from bench.workloads import Change
from msgspec import Struct

FILES, CHANGES = 10_000, 10
CASE = f"explain-{FILES}"
BYTES_GOAL, SECONDS_GOAL = 0.02, 0.05

#: Where time goes for explanations: into keeping what they need (also the cache's own records, which they are made
#: of), and into finding out why a step must run. As `module:name`; a name is replaced where it is looked up.
KEEPING = (
    "lamina.store.facts:Facts.put",
    "lamina.store.facts:Facts.remember",
    "lamina.store.records:Records.add",
    "lamina.store.builds:Builds.add",
    "lamina.workshop.logged:tell",
)
FINDING = ("lamina.engine.decision:candidates", "lamina.engine.decision:explain_miss")
#: Tables whose rows, with those of their indexes, count as explanation data.
TABLES = ("records", "builds", "answers")


class Cost(Struct, frozen=True):
    """One build: seconds in all, and in both kinds of work for explanations (of all threads together)."""

    seconds: float
    keeping: float
    finding: float


class Stored(Struct, frozen=True):
    """Bytes on the disk: of the files of lists, of the rows of `TABLES`, and of the whole store."""

    facts: int
    rows: int
    total: int

    @property
    def share(self) -> float:
        return (self.facts + self.rows) / self.total


class Explained(Struct, frozen=True):
    """The store after all builds, and what each build cost, the first one first."""

    store: Stored
    costs: tuple[Cost, ...]


def explained(work: Path, files: int = FILES, changes: int = CHANGES) -> Explained:
    """Build in a store and a context of their own below `work`. Raises CommandFailed."""
    from tests.support.base_images import busybox_rootfs

    place = work / CASE
    place.mkdir()
    print(f"explanation data, {changes} changes of one file among {files:,}:", flush=True)
    tool = Lamina(place)
    tool.load_base(busybox_rootfs(place))
    workload = Change(place, files)
    workload.prepare()
    costs = []
    for number in range(changes + 1):
        if number:
            workload.begin_round(number)
        command = [sys.executable, "-m", "bench.explained", str(workload.context)]
        cost = msgspec.json.decode(output_of(command, tool.environment).splitlines()[-1], type=Cost)
        costs.append(cost)
        told = f"{cost.seconds:8.3f} s, keeping {cost.keeping:.3f} s, finding causes {cost.finding:.3f} s"
        print(f"  lamina    build {number} {told}", flush=True)
    result = Explained(stored(tool.root), tuple(costs))
    cleared(place)
    return result


def stored(root: Path) -> Stored:
    """What is in the store at `root`."""
    from lamina.store.layout import Layout
    from lamina.store.measure import disk_bytes

    layout = Layout(root)
    marks = ", ".join("?" * len(TABLES))
    pages = f"SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name IN ({marks}))"
    with closing(sqlite3.connect(layout.index)) as connection:
        (rows,) = connection.execute(pages, TABLES).fetchone()
    return Stored(disk_bytes(layout.facts), rows, disk_bytes(root))


def located(place: str) -> tuple[Any, str]:
    """The module or class that `module:name` is in, and the name there. Raises AttributeError if there is none."""
    module, _, name = place.partition(":")
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    getattr(owner, last)
    return owner, last


class Clock:
    """Adds up the seconds inside functions that it wraps, in all threads; a call within another counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._guard = threading.Lock()
        self._inside = threading.local()

    def wrap(self, place: str) -> None:
        """Put the clock around `module:name`. Raises AttributeError if there is no such name."""
        owner, name = located(place)
        setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if getattr(self._inside, "now", False):
                return function(*arguments, **named)
            self._inside.now = True
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._inside.now = False
                with self._guard:
                    self.seconds += time.perf_counter() - started

        return timed


def build(context: str) -> Cost:
    """Build `context` in this process, with clocks in it from then on. Raises BuildFailure."""
    import lamina

    keeping, finding = Clock(), Clock()
    for clock, places in ((keeping, KEEPING), (finding, FINDING)):
        for place in places:
            clock.wrap(place)
    started = time.perf_counter()
    lamina.build(context, tags=[IMAGE], network="host")
    return Cost(time.perf_counter() - started, keeping.seconds, finding.seconds)


if __name__ == "__main__":
    print(msgspec.json.encode(build(sys.argv[1])).decode())
