"""The real `lamina` command in processes of its own, over one store, with what it says read back as data.

    lamina = Command(tmp_path / "store")
    done = lamina.build(context, "-t", "shop")
    assert done.verdicts() == {"COPY . .": "CHANGED"}

`build` asks for `--progress rawjson`, whose last event holds the table's rows; `done.err` has everything that was said.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE

PROGRAM = (sys.executable, "-c", "from lamina.cli import leave, main; leave(main())")
#: Nothing that the command does in tests takes this many seconds.
TIMEOUT = PATIENCE


@dataclass(frozen=True)
class Row:
    """One line of the table at the end of a build: see `lamina.explain.table.Row`."""

    stage: str
    text: str
    verdict: str
    line: int
    seconds: float
    cause: dict[str, Any] | None
    because: tuple[str, int] | None

    @property
    def files(self) -> dict[str, str]:
        """Path → what changed of it, as the cause names them."""
        return {change["path"]: change["kind"] for change in (self.cause or {}).get("files", ())}


class Completed:
    """A command that has ended. `out` and `err` are text."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.raw = out
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")

    def ok(self) -> Completed:
        """This, after making sure that the command succeeded."""
        assert self.code == 0, self.err + self.out
        return self

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines() if line.startswith('{"event"')]

    @property
    def result(self) -> dict[str, Any]:
        """The last event of a build that succeeded."""
        self.ok()
        assert self.events[-1]["event"] == "result"
        return self.events[-1]

    @property
    def image(self) -> str:
        """The image's ID."""
        image: str = self.result["image"]
        return image

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(
            Row(
                step["stage"],
                step["text"],
                step["verdict"],
                step["span"]["line"],
                step["seconds"],
                step["cause"],
                tuple(step["because"]) if step["because"] else None,
            )
            for step in self.result["steps"]
        )

    def row(self, text: str) -> Row:
        """The one instruction that begins so."""
        (found,) = (row for row in self.rows if row.text.startswith(text))
        return found

    def verdicts(self) -> dict[str, str]:
        """Instruction → verdict of all that make layers and did not come from the cache."""
        return {row.text: row.verdict for row in self.rows if row.verdict not in ("cached", "metadata", "fetched")}

    @property
    def output(self) -> str:
        """What the steps wrote."""
        return "".join(event["data"] for event in self.events if event["event"] == "output")

    @property
    def warnings(self) -> list[str]:
        return [event["diagnostic"]["message"] for event in self.events if event["event"] == "warning"]


@dataclass(frozen=True)
class Command:
    """`lamina` with the store at `root`. `prefix` goes before the program: `setpriv …` for another user.
    `patience` are the seconds that a call may take."""

    root: Path
    prefix: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    patience: float = TIMEOUT

    def run(self, *words: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Completed:
        done = subprocess.run(
            self.line(*words),
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            timeout=self.patience,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def build(self, context: Path, *flags: str | Path, stdin: bytes = b"") -> Completed:
        return self.run("build", "--progress", "rawjson", *flags, context, stdin=stdin)

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """The command running, for tests that interrupt it or run several at once."""
        return subprocess.Popen(
            self.line(*words),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self, *words: str | Path) -> list[str]:
        return [*self.prefix, *PROGRAM, *map(str, words)]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**os.environ, "LAMINA_ROOT": str(self.root), **self.env, **(more or {})}

    def verify(self) -> None:
        """Everything in the store is what its digest says."""
        done = self.run("cache", "verify").ok()
        assert done.out == "everything is what its digest says\n"

    def contents(self) -> dict[str, list[str]]:
        """What a failed command must leave as it was: the names, images, cached steps and layers of the store."""
        columns = {"tags": "name || image", "images": "id", "records": "id || key", "snapshots": "chain || layer"}
        with closing(sqlite3.connect(f"file:{self.root}/index.db?mode=ro", uri=True, timeout=TIMEOUT)) as index:
            return {
                table: sorted(row[0] for row in index.execute(f"SELECT {column} FROM {table}"))
                for table, column in columns.items()
            }


def finish(process: subprocess.Popen[bytes]) -> Completed:
    """Wait for a command that was started."""
    out, err = process.communicate(timeout=TIMEOUT)
    return Completed(process.returncode, out, err)


def project(folder: Path, dockerfile: str, files: Mapping[str, str] | None = None) -> Path:
    """A build context: a Dockerfile and text files."""
    return write(folder, {"Dockerfile": dockerfile, **(files or {})})


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write text files below `folder`, which is made; returns it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
