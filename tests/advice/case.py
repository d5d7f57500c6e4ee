"""A project with a known fault in its Dockerfile, in one text file: what is expected, then the files.

    ecosystem = "pip"                        TOML up to the first file
    image = "python"                         what it is built upon (tests.advice.images)
    fault = "the code is copied before the install"
    order = ["COPY requirements.txt", "RUN pip install", "COPY . ."]
    changes = { "shop/views.py" = 30, "requirements.txt" = 2 }
    -- Dockerfile --
    FROM python
    ...

`order` are beginnings of instructions of the better Dockerfile, in their order; without it there is none, and `advise`
must say so. `changes` are files and the number of commits that change each. Further keys: `varies` (ARGs), `cost`
(seconds of steps by a part of their texts; else what is guessed), `ignores` (lines that the ignore file should get),
`alarms` (the rules of
`lamina check` that warn, rightly).
A file name may be followed by `(gzip)`: then it is compressed, and in base64.
"""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct, convert
from tests.support.git_server import git

FOLDER = Path(__file__).parent / "cases"
_FILE = re.compile(r"(?m)^-- (\S+)( \(gzip\))? --\n")
#: How a line of no meaning is written, by the end of a file's name; elsewhere an empty line does.
_COMMENT = {"py": "# {}", "rb": "# {}", "ex": "# {}", "md": "{}", "txt": "# {}"}
_COMMENT |= dict.fromkeys(("js", "rs", "go", "c", "h", "java", "php"), "// {}")


class Case(Struct, frozen=True):
    """See the module's text; `files` are the project's, Dockerfile included."""

    name: str
    ecosystem: str
    image: str
    fault: str
    changes: dict[str, int]
    order: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()
    cost: dict[str, float] = {}
    ignores: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    files: dict[str, bytes] = {}

    @property
    def dockerfile(self) -> str:
        return self.files["Dockerfile"].decode()

    def words(self) -> list[str]:
        """The options of `lamina advise` for it."""
        found = [word for name in self.varies for word in ("--varies", name)]
        return found + [word for step, seconds in self.cost.items() for word in ("--cost", f"{step}={seconds}s")]


def read_case(path: Path) -> Case:
    head, *parts = _FILE.split(path.read_text())
    files = {
        name: gzip.decompress(base64.b64decode(text)) if coded else text.encode()
        for name, coded, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }
    return convert({"name": path.stem, "files": files, **tomllib.loads(head)}, Case)


CASES = {path.stem: read_case(path) for path in sorted(FOLDER.glob("*.case"))}


def repository(case: Case, tree: Path) -> Path:
    """A checkout of the case with its history: the first commit has all files, each further one changes one."""
    tree.mkdir(parents=True)
    git(tree, "init", "-q")
    stream = b"".join(_stream(case))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=tree, input=stream, check=True)
    git(tree, "reset", "-q", "--hard", "main")
    return tree


def _stream(case: Case) -> Iterator[bytes]:
    """The input of `git fast-import`."""
    now = dict(case.files)
    yield _commit(0, "the project", now)
    for number, path in enumerate(schedule(case.changes), 1):
        now[path] += f"{_COMMENT.get(path.rpartition('.')[2], '').format(number)}\n".encode()
        yield _commit(number, f"change {path}", {path: now[path]})


def schedule(changes: Mapping[str, int]) -> list[str]:
    """Which file each commit changes: all evenly over the time."""
    due = [((turn + 0.5) / count, path) for path, count in changes.items() for turn in range(count)]
    return [path for _, path in sorted(due)]


def _commit(number: int, message: str, files: Mapping[str, bytes]) -> bytes:
    who = f"tester <tester@example.test> {1700000000 + number * 3600} +0000"
    lines = [f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n".encode()]
    for path, data in files.items():
        mode = 100755 if data.startswith(b"#!") else 100644
        lines.append(f"M {mode} inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
    return b"".join(lines)
