"""Which edits of a Dockerfile and which flags rebuild what."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.command import Command, Row, project, write

TEXT = """ARG GREETING=hello
FROM busybox AS base
ARG GREETING
ENV MODE=fast
RUN echo "$GREETING $MODE" > /greeting
FROM base
COPY data /data
RUN cat /greeting /data > /both
LABEL version=1
EXPOSE 8000
CMD ["cat", "/both"]
"""
GREET, BOTH, COPY = 'RUN echo "$GREETING $MODE" > /greeting', "RUN cat /greeting /data > /both", "COPY data /data"


@pytest.fixture
def context(tmp_path: Path, lamina: Command) -> Path:
    """A project that was built once."""
    folder = project(tmp_path / "project", TEXT, {"data": "data\n"})
    assert set(lamina.build(folder).verdicts()) == {GREET, COPY, BOTH}
    return folder


def edited(context: Path, *changes: tuple[str, str]) -> Path:
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return write(context, {"Dockerfile": text})


def cause(row: Row) -> tuple[str, str | None, str | None]:
    assert row.cause is not None
    return row.cause["part"], row.cause["before"], row.cause["after"]


@pytest.mark.parametrize(
    "change",
    [
        ("FROM base", "\n# a remark\n\nFROM base"),
        ("COPY data /data", "copy   data \\\n  # inside\n  /data"),
        ("EXPOSE 8000", "EXPOSE 9000"),
        ("LABEL version=1", "LABEL version=2 more=x"),
        ('CMD ["cat", "/both"]', 'CMD ["true"]\nSTOPSIGNAL SIGINT\nUSER nobody'),
        ("LABEL version=1\n", ""),
    ],
)
def test_edits_that_rebuild_nothing(lamina: Command, context: Path, change: tuple[str, str]) -> None:
    assert lamina.build(edited(context, change)).verdicts() == {}


def test_a_renamed_stage_rebuilds_nothing(lamina: Command, context: Path) -> None:
    assert lamina.build(edited(context, (" AS base", " AS bottom"), ("FROM base", "FROM bottom"))).verdicts() == {}


def test_a_metadata_instruction_far_above_rebuilds_nothing_below_it(lamina: Command, context: Path) -> None:
    done = lamina.build(edited(context, ("ENV MODE=fast", "LABEL early=yes\nEXPOSE 1\nENV MODE=fast")))
    assert done.verdicts() == {}


def test_a_changed_variable_rebuilds_with_before_and_after(lamina: Command, context: Path) -> None:
    done = lamina.build(edited(context, ("MODE=fast", "MODE=slow")))
    assert done.verdicts() == {GREET: "CHANGED", COPY: "rebuilds", BOTH: "CHANGED"}
    assert cause(done.row(GREET)) == ("env MODE", "fast", "slow")
    assert done.row(COPY).because == (GREET, 5)
    said = lamina.run("build", edited(context, ("MODE=fast", "MODE=slower"))).ok().err
    assert "CHANGED" in said and "MODE: slow → slower" in said


def test_a_build_argument_rebuilds_what_sees_it(lamina: Command, context: Path) -> None:
    done = lamina.build(context, "--build-arg", "GREETING=servus", "-t", "x")
    # The second stage has the ARG of the stage that it begins with.
    assert done.verdicts() == {GREET: "CHANGED", COPY: "rebuilds", BOTH: "CHANGED"}
    assert cause(done.row(GREET))[1:] == ("hello", "servus")
    assert "GREETING" in cause(done.row(GREET))[0]
    assert lamina.run("run", "x").ok().out == "servus fast\ndata\n"
    assert lamina.build(context).verdicts() == {}


def test_a_changed_command_is_a_change(lamina: Command, context: Path) -> None:
    done = lamina.build(edited(context, (BOTH, BOTH + "2")))
    assert done.verdicts() == {BOTH + "2": "CHANGED"}
    assert done.row(BOTH).cause is not None


def test_an_undeclared_build_argument_warns_and_rebuilds_nothing(lamina: Command, context: Path) -> None:
    done = lamina.build(context, "--build-arg", "GREETNG=servus")
    assert done.verdicts() == {}
    (warning,) = done.warnings
    assert "GREETNG" in warning


def test_no_cache_runs_everything_anew_and_the_result_serves_later_builds(lamina: Command, context: Path) -> None:
    first = lamina.build(context)
    done = lamina.build(context, "--no-cache")
    assert set(done.verdicts()) == {GREET, COPY, BOTH}
    for text in (GREET, COPY, BOTH):
        assert (done.row(text).cause or {})["kind"] == "forced"
    again = lamina.build(context)
    assert again.verdicts() == {}
    assert again.result["steps"] != first.result["steps"] or again.image == done.image


def test_no_cache_filter_runs_the_named_stage_anew(lamina: Command, context: Path) -> None:
    done = lamina.build(context, "--no-cache-filter", "base")
    assert done.row(GREET).verdict == "CHANGED"
    assert (done.row(GREET).cause or {})["kind"] == "forced"
    last = lamina.build(context, "--no-cache-filter", "stage-1")
    assert last.row(GREET).verdict == "cached"
    assert set(last.verdicts()) == {COPY, BOTH}


def test_a_step_that_came_out_the_same_rebuilds_nothing_below_it(lamina: Command, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY a/one /file\nRUN cp /file /copy\nRUN cp /copy /last\n"
    folder = project(tmp_path / "same", text, {"a/one": "1"})
    (folder / "two").hardlink_to(folder / "a/one")  # the same content and time
    lamina.build(folder).ok()
    moved = text.replace("a/one /file", "--chmod=644 two /file")
    assert lamina.build(write(folder, {"Dockerfile": moved})).verdicts() == {"COPY --chmod=644 two /file": "CHANGED"}
    # The records say so by definition from now on.
    assert lamina.build(folder).verdicts() == {}
    # A change below is not blamed on the step that came out the same.
    both = moved.replace("two", "a/one").replace("/last", "/end")
    done = lamina.build(write(folder, {"Dockerfile": both + "RUN true\n"}))
    assert done.row("RUN cp /file").verdict == "cached"
    assert done.row("RUN cp /copy").verdict == "CHANGED"
    assert "command" in [part["part"] for part in [done.row("RUN cp /copy").cause or {}]]


def test_dockerfile_from_standard_input(lamina: Command, context: Path) -> None:
    done = lamina.build(context, "-f", "-", stdin=TEXT.encode())
    assert done.verdicts() == {}
    assert done.image == lamina.build(context).image


def test_the_project_is_known_however_its_path_is_spelled(
    lamina: Command, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause of a miss is found in what was built under another spelling of the same directory."""
    (context / "data").write_text("other\n")
    monkeypatch.chdir(context)
    row = lamina.build(Path()).row(COPY)
    assert row.verdict == "CHANGED" and row.cause is not None and row.cause["files"][0]["path"] == "data"


def test_an_inserted_instruction_is_the_cause_of_what_stands_below_it(lamina: Command, context: Path) -> None:
    """All addresses below it move; the steps are recognised by their text, and are not called new."""
    text = edited(context, ("FROM base\n", "FROM base\nRUN echo one > /one\nRUN echo two > /two\n"))
    done = lamina.build(text)
    row = done.row(BOTH)
    assert row.verdict == "rebuilds"
    assert done.verdicts()[COPY] == "rebuilds"
