"""`lamina context`: what it says of a real directory, in words and as JSON, without a store."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.command import Command, project

DOCKERFILE = """\
ARG DIR=src
FROM busybox AS build
ARG DIR
COPY package.json ./
COPY $DIR/ /app/
FROM scratch
COPY --from=build /app /app
COPY . .
"""
IGNORE = "# small\nnode_modules\nlogs\n!logs/keep.txt\n*.log\n"
FILES = {
    ".dockerignore": IGNORE,
    "package.json": "{}",
    "src/main.py": "x" * 2000,
    "src/debug.log": "log",
    "web/node_modules/a.js": "a" * 50,
    "node_modules/b.js": "b",
    "logs/keep.txt": "k",
    "logs/a.txt": "a",
}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command with a store that must not appear."""
    return Command(tmp_path / "no" / "store")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return project(tmp_path / "context", DOCKERFILE, FILES)


def ask(command: Command, *words: str | Path) -> Any:
    return json.loads(command.run("context", *words, "--json").ok().out)


def test_ls(command: Command, context: Path) -> None:
    out = command.run("context", "ls", context).ok().out
    assert "2kB   src/main.py\n" in out
    assert [line.split()[-1] for line in out.splitlines()] == [
        ".dockerignore",
        "Dockerfile",
        "logs/keep.txt",
        "package.json",
        "src/debug.log",
        "src/main.py",
        "web/node_modules/a.js",
    ]
    told = ask(command, "ls", context)
    assert told["ignore_file"] == str(context / ".dockerignore")
    assert {"path": "src/main.py", "kind": "file", "size": 2000, "target": ""} in told["entries"]
    assert not command.root.parent.exists()


def test_ls_of_what_is_ignored(command: Command, context: Path) -> None:
    out = command.run("context", "ls", "--ignored", context).ok().out
    assert [line.split()[1:] for line in out.splitlines()] == [
        ["logs/a.txt", "logs", f"({context}/.dockerignore:3)"],
        ["node_modules/", "node_modules", f"({context}/.dockerignore:2)"],
    ]
    told = ask(command, "ls", context, "--ignored")["ignored"]
    assert [(one["path"], one["files"], one["rule"]["pattern"]) for one in told] == [
        ("logs/a.txt", 1, "logs"),
        ("node_modules", 1, "node_modules"),
    ]


def test_ls_of_what_instructions_take(command: Command, context: Path) -> None:
    out = command.run("context", "ls", "--copy", "5", context).ok().out
    assert (
        out == f"{context}/Dockerfile:5  COPY $DIR/ /app/\n  2 files, 2kB\n  3B   src/debug.log\n  2kB  src/main.py\n"
    )
    told = ask(command, "ls", "--copy", "all", context)["copies"]
    assert [(one["span"]["line"], one["stage"], one["files"]) for one in told] == [
        (4, "build", 1),
        (5, "build", 2),
        (8, "stage-1", 7),
    ]
    (web,) = ask(command, "ls", "--copy", "5", "--build-arg", "DIR=web", context)["copies"]
    assert [one["path"] for one in web["entries"] if one["kind"] == "file"] == ["web/node_modules/a.js"]
    only = ask(command, "ls", "--copy", "all", "--target", "build", context)["copies"]
    assert [one["span"]["line"] for one in only] == [4, 5]


def test_why(command: Command, context: Path) -> None:
    ignore, dockerfile = context / ".dockerignore", context / "Dockerfile"
    done = command.run("context", "why", "-C", context, "logs/keep.txt", "logs/a.txt", context / "src").ok()
    assert done.out == (
        f"logs/keep.txt: in the context: !logs/keep.txt ({ignore}:4) brings it back\n"
        f"  {ignore}:3  logs            keeps out logs/ and all below it\n"
        f"  {ignore}:4  !logs/keep.txt  brings it back                    this last one decides\n"
        f"  taken by {dockerfile}:8  COPY . .\n"
        f"logs/a.txt: kept out by logs ({ignore}:3)\n"
        f"  {ignore}:3  logs  keeps out logs/ and all below it\n"
        f"  but for the rules, taken by {dockerfile}:8  COPY . .\n"
        "src: in the context: no rule speaks of it\n"
        "  below it: 2 files in the context, 0 files kept out\n"
        f"  taken by {dockerfile}:5  COPY $DIR/ /app/\n"
        f"  taken by {dockerfile}:8  COPY . .\n"
    )
    (told,) = ask(command, "why", "-C", context, "logs")["paths"]
    assert (told["fate"], told["kind"], told["kept"], told["hidden"]) == ("included", "dir", 1, 1)
    assert [(one["rule"]["pattern"], one["at"]) for one in told["matches"]] == [("logs", "logs")]
    assert [(one["span"]["line"], one["part"]) for one in told["taken_by"]] == [(8, False)]


@pytest.mark.parametrize(
    ("path", "reference", "words"),
    [
        ("mian.py", "context-path-missing", "relative to the build context"),
        ("src/mian.py", "context-path-missing", "did you mean src/main.py?"),
        ("gone.log", "context-path-missing", "'gone.log' does not exist"),
        ("../x", "context-path-outside", "outside the build context"),
        ("/etc/passwd", "context-path-outside", "--build-context"),
    ],
)
def test_why_of_what_is_not_there(command: Command, context: Path, path: str, reference: str, words: str) -> None:
    done = command.run("context", "why", "-C", context, "package.json", path)
    assert done.code == 4
    assert f"[{reference}]" in done.err and words in done.err
    # What can be said is said.
    assert done.out.startswith("package.json: in the context: no rule speaks of it\n")
    if path == "gone.log":
        assert "gone.log: kept out by *.log" in done.out and "though nothing is seen there" in done.out


def test_why_through_a_link(command: Command, context: Path) -> None:
    (context / "link").symlink_to("src")
    out = command.run("context", "why", "-C", context, "link/main.py").ok().out
    assert out.startswith("link/main.py leads to src/main.py\nsrc/main.py: in the context")


def test_du(command: Command, context: Path) -> None:
    for words in (
        ("init", "-q"),
        ("add", "src", "package.json"),
        ("commit", "-qm", "1"),
        ("commit", "-qm", "2", "src"),
    ):
        if words[-1] == "src":
            (context / "src" / "main.py").write_text("y" * 3000)
        who = ("-c", "user.name=n", "-c", "user.email=e@example.com")
        subprocess.run(["git", "-C", context, *who, *words], check=True, capture_output=True)
    told = ask(command, "du", context, "--top", "3")
    assert (told["ignored"]["files"], len(told["largest"])) == (2, 3)
    assert [(one["span"]["line"], one["commits"]) for one in told["copies"]] == [(4, 1), (5, 2), (8, 2)]
    assert told["history"]["commits"] == 2
    assert told["history"]["changed"][0] == {"path": "src/main.py", "commits": 2}
    saves = {one["pattern"]: (one["files"], one["size"]) for one in told["suggestions"]}
    assert saves["**/node_modules"] == (1, 50)
    assert "**/.git" in saves and "**/*.log" in saves
    assert [(one["reference"], one["span"]["line"], one["hint"]) for one in told["findings"]] == [
        ("context-ignore-root-only", 2, "write **/node_modules"),
        ("context-ignore-below-excluded", 4, "logs/* in place of logs means the same to both"),
        ("context-ignore-root-only", 5, "write **/*.log"),
    ]
    out = command.run("context", "du", context).ok().out
    assert f"2 commits  {context}/Dockerfile:5  COPY $DIR/ /app/" in out
    assert "2  src/main.py" in out
    assert "hint: write **/node_modules" in out


def test_du_without_git_and_without_a_dockerfile(command: Command, context: Path) -> None:
    (context / "Dockerfile").unlink()
    done = command.run("context", "du", context, stdin=b"").ok()
    assert "the context is not in a git checkout" in done.out
    assert f"there is no {context}/Dockerfile" in done.err
    told = ask(command, "du", context)
    assert told["copies"] is None
    assert told["history"]["unknown"]
    unmade = command.run("context", "why", "-C", context, "src").ok()
    assert "taken" not in unmade.out


def test_another_dockerfile_brings_its_own_rules(command: Command, context: Path) -> None:
    (context / "web.Dockerfile").write_text("FROM scratch\nCOPY web /\n")
    (context / "web.Dockerfile.dockerignore").write_text("*\n!web\n")
    out = command.run("context", "ls", "-f", context / "web.Dockerfile", context).ok().out
    assert out == "50B  web/node_modules/a.js\n"


def test_names_that_no_terminal_should_see(command: Command, context: Path) -> None:
    (context / "a\x1b[2J\nb").touch()
    (context / os.fsdecode(b"caf\xe9")).touch()
    out = command.run("context", "ls", context).ok().out
    assert "a\\x1b[2J\\nb\n" in out and "caf\ufffd" in out
    entries = ask(command, "ls", context)["entries"]
    assert {"a\x1b[2J\nb", os.fsdecode(b"caf\xe9")} <= {one["path"] for one in entries}
    command.run("context", "du", context).ok()


@pytest.mark.parametrize(
    ("words", "code", "reference"),
    [
        ((), 2, "usage-bad-arguments"),
        (("ls", "--nope"), 2, "usage-"),
        (("ls", "--ignored", "--copy", "all"), 2, "usage-bad-arguments"),
        (("ls", "--copy", "3", "{}"), 2, "usage-bad-arguments"),
        (("ls", "--copy", "x", "{}"), 2, "usage-bad-arguments"),
        (("du", "--top", "0", "{}"), 2, "usage-bad-arguments"),
        (("why",), 2, "usage-bad-arguments"),
        (("ls", "{}/nope"), 4, "context-not-found"),
        (("ls", "{}/Dockerfile"), 4, "context-not-a-directory"),
        (("ls", "-f", "{}/nope", "{}"), 3, "dockerfile-not-found"),
        (("ls", "--copy", "all", "--target", "nope", "{}"), 3, "dockerfile-unknown-stage"),
        (("ls", "--copy", "all", "{}/src"), 3, "dockerfile-not-found"),
    ],
)
def test_bad_usage(command: Command, context: Path, words: tuple[str, ...], code: int, reference: str) -> None:
    done = command.run("context", *(word.format(context) for word in words))
    assert (done.code, done.out) == (code, "")
    assert f"[{reference}" in done.err and "Traceback" not in done.err
