"""Progress on a terminal: finished lines stay, running ones are drawn below."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from lamina.diagnostics import Diagnostic
from lamina.events import Vertex
from lamina.report.tty import TerminalReporter

STEP = Vertex(1, "[2/3] RUN \\\n make")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=40, record=True, force_terminal=True, highlight=False)


@pytest.fixture
def reporter(console: Console) -> Iterator[TerminalReporter]:
    """Not refreshed by itself: tests draw."""
    yield TerminalReporter(console)


def drawn(reporter: TerminalReporter) -> list[str]:
    """The running part of the screen."""
    console = Console(file=io.StringIO(), width=40, highlight=False)
    with console.capture() as capture:
        console.print(reporter._render())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_finished_lines_stay(console: Console, reporter: TerminalReporter) -> None:
    with reporter:
        for number, (name, outcome) in enumerate([("a", "done"), ("b", "cached"), ("c", "failed"), ("d", "canceled")]):
            vertex = Vertex(number, name)
            reporter.vertex_started(vertex)
            reporter.vertex_ended(vertex, outcome, 61.0, None)  # type: ignore[arg-type]
        reporter.warning(Diagnostic("x-y", "odd", hint="mend it"))
    lines = [line.rstrip() for line in console.export_text().splitlines() if line.strip()]
    assert lines == [
        f"=> {'a':<29} 1m 01s",
        f"=> {'b':<29} CACHED",
        f"!! {'c':<29} 1m 01s",
        f"-- {'d':<29} 1m 01s",
        "WARNING: odd (mend it)",
    ]


def test_a_running_step_shows_its_last_lines(reporter: TerminalReporter) -> None:
    reporter.vertex_started(STEP)
    reporter.vertex_output(STEP, 1, b"".join(b"line %d\n" % number for number in range(20)))
    reporter.vertex_output(STEP, 1, b"10%\r100%\npart")
    lines = drawn(reporter)
    assert lines[0].split() == ["=>", "[2/3]", "RUN", "\\", "make", "0.0s"]
    assert lines[1:] == [f"   line {number}" for number in range(15, 20)] + ["   100%"]


def test_lines_fit_the_screen(reporter: TerminalReporter) -> None:
    vertex = Vertex(1, "RUN " + "x" * 200)
    reporter.vertex_started(vertex)
    reporter.vertex_output(vertex, 1, b"y" * 200 + b"\n")
    reporter.vertex_progress(vertex, "sha256:" + "a" * 64, 1, 2)
    assert [len(line) for line in drawn(reporter)[:1]] == [39]
    assert len(drawn(reporter)) == 3


def test_a_step_cannot_draw_on_the_terminal_itself(reporter: TerminalReporter) -> None:
    reporter.vertex_started(STEP)
    reporter.vertex_output(STEP, 1, b"\x1b[32mgreen\x1b[0m\x1b[2J\x1b[H\x07 text\n")
    assert drawn(reporter)[1] == "   green text"


def test_a_transfer_is_shown_until_it_is_done(reporter: TerminalReporter) -> None:
    reporter.vertex_started(STEP)
    reporter.vertex_progress(STEP, "sha256:ab", 1000, 2000)
    reporter.vertex_progress(STEP, "other", 5, None)
    assert [line.split() for line in drawn(reporter)[1:]] == [["sha256:ab", "1kB", "/", "2kB"], ["other", "5B"]]
    reporter.vertex_progress(STEP, "sha256:ab", 2000, 2000)
    assert [line.split() for line in drawn(reporter)[1:]] == [["other", "5B"]]


def test_what_comes_after_the_end_is_no_error(reporter: TerminalReporter) -> None:
    """A download or a killed step may still speak when its vertex has failed."""
    reporter.vertex_started(STEP)
    reporter.vertex_ended(STEP, "failed", 1, None)
    reporter.vertex_progress(STEP, "sha256:ab", 1, 2)
    reporter.vertex_output(STEP, 1, b"late\n")
    reporter.vertex_ended(STEP, "failed", 1, None)
    assert drawn(reporter) in ([], [""])


def test_lines_may_come_while_the_screen_is_drawn(reporter: TerminalReporter) -> None:
    """The screen is drawn by another thread, between whose steps the engine's threads add lines and transfers."""
    reporter.vertex_started(STEP)
    reporter.vertex_output(STEP, 1, b"one\ntwo\n")
    for item in ("a", "b"):
        reporter.vertex_progress(STEP, item, 1, 2)
    console = Console(file=io.StringIO(), width=40)
    for _ in console.render(reporter._render()):
        reporter.vertex_output(STEP, 1, b"more\n")
        reporter.vertex_progress(STEP, "c", 1, 2)
        reporter.vertex_progress(STEP, "a", 2, 2)
        reporter.vertex_progress(STEP, "c", 2, 2)
