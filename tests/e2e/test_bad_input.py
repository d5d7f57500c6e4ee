"""Bad input: the right exit status, the place, a hint, and a store that stays as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.command import Command, project, write

from lamina.diagnostics import exit_code


class Case(NamedTuple):
    """A Dockerfile's text, the reference of its failure, the line that is named, and words of the message and hint."""

    name: str
    text: str
    reference: str
    line: int | None
    words: tuple[str, ...]


CASES = (
    Case("empty", "# nothing\n", "dockerfile-empty", None, ()),
    Case("no-from", "RUN true\n", "dockerfile-no-from", 1, ("FROM",)),
    Case(
        "instruction", "FROM busybox\n\nRUNN true\n", "dockerfile-unknown-instruction", 3, ("RUNN", "did you mean RUN")
    ),
    Case(
        "flag", "FROM busybox\nCOPY --chwon=1 a /\n", "dockerfile-unknown-flag", 2, ("--chwon", "did you mean --chown")
    ),
    Case("syntax", "FROM busybox\nENV A=1\nHEALTHCHECK MAYBE\n", "dockerfile-bad-healthcheck", 3, ()),
    Case("argument", "FROM busybox\nWORKDIR\n", "dockerfile-missing-argument", 2, ("WORKDIR",)),
    Case("port", "FROM busybox\nEXPOSE http\n", "dockerfile-bad-port", 2, ("http",)),
    Case("heredoc", "FROM busybox\nRUN <<END\ntrue\n", "dockerfile-unterminated-heredoc", 2, ("END",)),
    Case("no-device", "FROM busybox\nRUN --device=gpu true\n", "dockerfile-no-devices", 2, ("--device",)),
    Case(
        "mount-type",
        "FROM busybox\nRUN --mount=type=cash,target=/c true\n",
        "dockerfile-bad-mount",
        2,
        ("did you mean type=cache",),
    ),
    Case("insecure", "FROM busybox\nRUN --security=insecure true\n", "dockerfile-entitlement", 2, ("--allow",)),
    Case("chmod", "FROM busybox\nCOPY --chmod=999 setup.py /\n", "dockerfile-bad-chmod", 2, ("--chmod=755",)),
    Case("no-end", "FROM busybox\nRUN <<EOF\ntrue\n", "dockerfile-unterminated-heredoc", 2, ("EOF",)),
    Case("twice", "FROM busybox\nCOPY --chown=1 --chown=2 a /\n", "dockerfile-duplicate-flag", 2, ("twice",)),
    Case("platform", "FROM --platform=a/b/c/d busybox\n", "dockerfile-bad-platform", 1, ("a/b/c/d",)),
    Case("near", "FROM busybox\nCOPY setup.pi /\n", "context-source-missing", 2, ("setup.pi", "did you mean setup.py")),
    Case("hidden", "FROM busybox\nCOPY secret.key /\n", "context-source-missing", 2, ("secret.key", "*.key")),
    Case("outside", "FROM busybox\nCOPY ../x /\n", "context-source-missing", 2, ("../x", "context")),
    Case("link-out", "FROM busybox\nCOPY outward/x /\n", "context-source-missing", 2, ("outward/x",)),
    Case("link-away", "FROM busybox\nCOPY absolute /\n", "context-source-missing", 2, ("absolute",)),
    Case("many", "FROM busybox\nCOPY a setup.py /to\n", "dockerfile-copy-needs-directory", 2, ("/to",)),
    Case("user", "FROM busybox\nUSER nemo\nRUN true\n", "step-unknown-user", 3, ("nemo",)),
    Case("owner", "FROM busybox\nCOPY --chown=nemo a /\n", "step-unknown-user", 2, ("nemo",)),
    Case("shell", 'FROM busybox\nRUN ["/bin/nope"]\n', "runtime-command-not-found", 2, ("/bin/nope",)),
    Case("stage", "FROM busybox AS one\nFROM busybox\nCOPY --from=7 /a /\n", "dockerfile-unknown-stage", 3, ("7",)),
    Case("file-above", "FROM busybox\nRUN echo > /f\nCOPY setup.py /f/x\n", "step-copy-not-a-directory", 3, ("/f",)),
    Case("unreachable", "FROM 127.0.0.1:1/x:1\n", "registry-unreachable", 1, ("127.0.0.1:1",)),
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    write(tmp_path, {"x": "outside", "elsewhere/x": "outside"})
    folder = write(
        tmp_path / "context", {"setup.py": "1", "a": "a", "secret.key": "k", ".dockerignore": "# keys\n*.key\n"}
    )
    project(folder, "FROM busybox\n")
    (folder / "outward").symlink_to("../elsewhere")
    (folder / "absolute").symlink_to(tmp_path / "x")
    return folder


def check(lamina: Command, words: tuple[str | Path, ...], reference: str) -> str:
    """Run a command that must fail so, and change nothing; returns what it said."""
    before = lamina.contents()
    done = lamina.run(*words)
    assert f"[{reference}]" in done.err, done.err
    assert done.code == exit_code(reference)
    assert "Traceback" not in done.err
    assert lamina.contents() == before or reference.startswith(("step-", "runtime-"))
    assert not list((lamina.root / "tmp").iterdir())
    return done.err


@pytest.mark.parametrize("case", [case for case in CASES if case.reference], ids=lambda case: case.name)
def test_bad_dockerfiles(lamina: Command, context: Path, case: Case) -> None:
    project(context, case.text)
    said = check(lamina, ("build", context), case.reference)
    if case.line is not None:
        assert f"{context}/Dockerfile:{case.line}\n" in said
        assert f"{case.line} | >>> {case.text.splitlines()[case.line - 1]}" in said
    told = said[said.rindex("\nerror: ") if "\nerror: " in said else 0 :]
    for word in case.words:
        assert word in told


def test_stages_in_a_circle(lamina: Command, context: Path) -> None:
    """A later stage cannot be named by COPY --from: it is taken for an image, so a circle needs none of our words."""
    text = "FROM busybox AS one\nFROM busybox AS two\nCOPY --from=two /bin/sh /sh\n"
    said = check(lamina, ("build", project(context, text)), "dockerfile-circular-stages")
    assert f"{context}/Dockerfile:3\n" in said
    assert "two" in said


def test_a_failing_step(lamina: Command, context: Path) -> None:
    text = "FROM busybox\n\nRUN seq 1 50; \\\n    echo to stderr >&2; exit 9\n"
    said = check(lamina, ("build", "--progress", "plain", project(context, text)), "step-failed")
    ending = said[said.index(f"\n{context}/Dockerfile:3\n") :]
    for words in (">>> RUN seq 1 50; \\", "| 50", "| to stderr", "exit status 9"):
        assert words in ending
    assert "| 11\n" not in ending
    (log,) = (word for word in ending.split() if word.endswith(".log"))
    kept = Path(log).read_text()
    assert " 1\n" in kept and "to stderr" in kept
    assert "#3 ERROR: " in said


def test_what_a_failed_build_did_before_is_kept(lamina: Command, context: Path) -> None:
    assert lamina.build(project(context, "FROM busybox\nRUN sleep 0.3; echo 1 > /one\nRUN false\n")).code == 5
    done = lamina.build(project(context, "FROM busybox\nRUN sleep 0.3; echo 1 > /one\nRUN true\n"))
    assert done.verdicts() == {"RUN true": "CHANGED"} or done.verdicts() == {"RUN true": "new"}


Words = Callable[[Path], tuple[str | Path, ...]]


@pytest.mark.parametrize(
    ("words", "reference", "said"),
    [
        (lambda context: ("build", context.parent), "dockerfile-not-found", ("Dockerfile",)),
        (lambda context: ("build", context / "nowhere"), "context-not-found", ("nowhere",)),
        (lambda context: ("build", "-f", context / "a", context / "nowhere"), "context-not-found", ("nowhere",)),
        (lambda context: ("build", "-f", context / "b", context), "dockerfile-not-found", ("/b",)),
        (lambda context: ("build", "--no-cahce", context), "usage-unknown-option", ("--no-cache",)),
        (lambda context: ("build", "--build-arg", "=x", context), "usage-bad-arguments", ("--build-arg",)),
        (lambda context: ("build", "-o", "type=floppy,dest=x", context), "usage-output", ("floppy", "docker")),
        (lambda context: ("build", "-t", "Upper/Case", context), "usage-image-name", ("Upper",)),
        (lambda context: ("biuld", context), "usage-unknown-command", ("build",)),
        (lambda context: ("run", "nothing"), "store-image-missing", ("nothing", "lamina images")),
        (lambda context: ("rmi", "nothing"), "store-image-missing", ("nothing",)),
        (lambda context: ("tag", "nothing", "x"), "store-image-missing", ("nothing",)),
        (lambda context: ("save", "nothing"), "store-image-missing", ("nothing",)),
        (lambda context: ("load", "-i", context / "a"), "image-bad-tar", ()),
        (lambda context: ("import", context / "a"), "image-bad-tar", ()),
        (lambda context: ("import", context / "nowhere"), "image-unreadable", ("nowhere",)),
        (lambda context: ("pull", "127.0.0.1:1/x"), "registry-unreachable", ("127.0.0.1:1",)),
        (lambda context: ("cache", "prune", "--older-than", "soon"), "usage-bad-arguments", ("soon",)),
    ],
)
def test_bad_command_lines(lamina: Command, context: Path, words: Words, reference: str, said: tuple[str, ...]) -> None:
    message = check(lamina, words(context), reference)
    for word in said:
        assert word in message


def test_an_unknown_target(lamina: Command, context: Path) -> None:
    project(context, "FROM busybox AS builder\nRUN true\n")
    said = check(lamina, ("build", "--target", "bulider", context), "dockerfile-unknown-stage")
    assert "bulider" in said and "builder" in said


def test_a_bad_ignore_file_names_its_line(lamina: Command, context: Path) -> None:
    write(context, {".dockerignore": "*.log\n[\n", "Dockerfile": "FROM busybox\nCOPY . .\n"})
    said = check(lamina, ("build", context), "context-bad-ignore-pattern")
    assert f"{context}/.dockerignore:2" in said


def test_a_store_of_a_newer_format(lamina: Command, context: Path) -> None:
    (lamina.root / "format").write_text("99\n")
    project(context, "FROM busybox\n")
    before = {path: path.stat().st_mtime_ns for path in lamina.root.rglob("*") if path.is_file()}
    for words in (("build", context), ("images",), ("cache", "prune"), ("run", "busybox")):
        done = lamina.run(*words)
        assert done.code == 7
        assert "[store-newer-format]" in done.err
        assert "99" in done.err
    assert {path: path.stat().st_mtime_ns for path in lamina.root.rglob("*") if path.is_file()} == before


def test_a_place_that_is_no_store(tmp_path: Path, context: Path) -> None:
    write(tmp_path / "home", {"thesis.txt": "years of work"})
    done = Command(tmp_path / "home").run("cache", "prune")
    assert (done.code, "[store-not-a-store]" in done.err) == (7, True)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]
    done = Command(tmp_path / "home/thesis.txt").run("images")
    assert (done.code, "[store-not-a-directory]" in done.err) == (7, True)


def test_failures_are_events_too(lamina: Command, context: Path) -> None:
    done = lamina.build(project(context, "FROM busybox\nRUN exit 3\n"))
    ended = [event for event in done.events if event["event"] == "ended" and event["outcome"] == "failed"]
    assert [event["failure"]["reference"] for event in ended] == ["step-failed"]
    assert all(json.dumps(event) for event in done.events)
