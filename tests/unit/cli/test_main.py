"""The first word, and what failures become."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from lamina import __version__
from lamina.cli.main import COMMANDS, help_page, run
from lamina.cli.options import make_parser
from lamina.diagnostics import BuildFailure, Span


@pytest.fixture
def doomed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command `doctor` whose `run` a test replaces."""
    module = ModuleType("lamina.cli.doctor")
    module.configure = lambda parser: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lamina.cli.doctor", module)
    return module


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_the_help_is_one_screen(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 0
    page = capsys.readouterr().out
    assert page == help_page()
    lines = page.rstrip("\n").split("\n")
    assert len(lines) <= 24
    assert all(len(line) <= 100 for line in lines)
    assert all(f"  {name} " in page for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_with_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(f"lamina.cli.{COMMANDS[name][0]}")
    module.configure(make_parser(name, COMMANDS[name][1]))
    with pytest.raises(SystemExit) as caught:
        run([name, "--help"])
    assert caught.value.code == 0
    page = capsys.readouterr().out
    assert f"usage: lamina {name}" in page
    assert "--root" in page


@pytest.mark.parametrize("word", ["--version", "-V", "version"])
def test_the_version(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([word]) == 0
    assert capsys.readouterr().out == f"lamina {__version__}\n"


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bulid", "."]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "error: lamina has no command 'bulid'\n  hint: did you mean build?\n  [usage-unknown-command]\n"
    )
    assert run(["zzzzz"]) == 2
    assert "`lamina --help` lists the commands" in capsys.readouterr().err


def test_an_unknown_option_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", "--no-cahce", "."]) == 2
    assert "did you mean --no-cache?" in capsys.readouterr().err


def test_a_failure_shows_its_line_and_gives_its_status(
    doomed: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Dockerfile"
    file.write_bytes(b"FROM base\nRUN \xff make\n")

    def fail(arguments: object) -> int:
        raise BuildFailure("step-failed", "it failed", span=Span(str(file), 2, 1, 2, 11))

    doomed.run = fail  # type: ignore[attr-defined]
    assert run(["doctor"]) == 5
    assert capsys.readouterr().err == (
        f"{file}:2\n  1 |     FROM base\n  2 | >>> RUN � make\nerror: it failed\n  [step-failed]\n"
    )


def test_a_failure_in_a_file_that_cannot_be_read(doomed: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: object) -> int:
        raise BuildFailure("dockerfile-x", "it is wrong", span=Span("/nowhere/Dockerfile", 2, 1, 2, 11))

    doomed.run = fail  # type: ignore[attr-defined]
    assert run(["doctor"]) == 3
    assert capsys.readouterr().err == "/nowhere/Dockerfile:2\nerror: it is wrong\n  [dockerfile-x]\n"


def test_an_interrupt_has_no_traceback(doomed: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    doomed.run = interrupted  # type: ignore[attr-defined]
    assert run(["doctor"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_a_commands_status_is_passed_on(doomed: ModuleType) -> None:
    doomed.run = lambda arguments: 11  # type: ignore[attr-defined]
    assert run(["doctor"]) == 11


def test_a_bug_is_said_to_be_one_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str, rest: object) -> int:
        raise TypeError("no such thing")

    monkeypatch.setattr("lamina.cli.main._command", broken)
    monkeypatch.delenv("LAMINA_DEBUG", raising=False)
    assert run(["build"]) == 70
    said = capsys.readouterr().err
    assert "TypeError: no such thing" in said and "[internal-bug]" in said and "Traceback" not in said
    monkeypatch.setenv("LAMINA_DEBUG", "1")
    with pytest.raises(TypeError):
        run(["build"])
