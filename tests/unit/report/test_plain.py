"""Plain progress, line by line, in BuildKit's shape."""

from __future__ import annotations

import io
import re
import time

import pytest

from lamina.diagnostics import Diagnostic, Span
from lamina.events import Vertex
from lamina.report.plain import PlainReporter
from lamina.testing.context import MemoryContext
from lamina.testing.world import memory_world

ONE, TWO = Vertex(1, "[2/3] RUN one"), Vertex(2, "[3/3] RUN two")


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> PlainReporter:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    made = PlainReporter(stream)
    made.vertex_started(ONE)
    made.vertex_started(TWO)
    stream.seek(0)
    stream.truncate()
    return made


def test_a_small_build() -> None:
    stream, world = io.StringIO(), memory_world(MemoryContext({"a": b""}))
    text = "FROM base\nCOPY a /a\nRUN make\n"
    world.build("FROM base\nCOPY a /a\n")

    world.runner.steps["make"] = lambda spec, tree, output: output(1, b"hello\n") or 0  # type: ignore[func-returns-value]
    result = world.build(text, PlainReporter(stream))
    assert re.sub(r"\d+\.\d+", "0.0", stream.getvalue()) == (
        "#1 [internal] load build definition from Dockerfile\n"
        "#1 DONE 0.0s\n"
        "\n"
        "#2 [internal] load metadata for docker.io/library/base:latest\n"
        "#2 DONE 0.0s\n"
        "\n"
        "#3 [internal] load build context\n"
        "#3 DONE 0.0s\n"
        "\n"
        "#4 [2/3] COPY a /a\n"
        "#4 CACHED\n"
        "\n"
        "#5 [3/3] RUN make\n"
        "#5 0.0 hello\n"
        "#5 DONE 0.0s\n"
        "\n"
        "#6 exporting to image\n"
        f"#6 writing image {result.image_id}\n"
        "#6 DONE 0.0s\n"
        "\n"
    )


def test_a_line_that_comes_in_pieces_and_one_that_does_not_end(reporter: PlainReporter, stream: io.StringIO) -> None:
    for data in (b"he", b"llo\nwor", b"ld \xc3", b"\xa9\nrest"):
        reporter.vertex_output(ONE, 1, data)
    assert stream.getvalue() == "#1 0.000 hello\n#1 0.000 world é\n"
    reporter.vertex_ended(ONE, "done", 1.25, None)
    assert stream.getvalue().endswith("#1 0.000 rest\n#1 DONE 1.2s\n\n")


def test_what_a_carriage_return_overwrites_is_left_out(reporter: PlainReporter, stream: io.StringIO) -> None:
    reporter.vertex_output(ONE, 1, b"10%\r50%\r100%\ndos\r\n\xff\n")
    assert stream.getvalue() == "#1 0.000 100%\n#1 0.000 dos\n#1 0.000 �\n"


def test_the_output_of_two_steps_at_once(reporter: PlainReporter, stream: io.StringIO) -> None:
    reporter.vertex_output(ONE, 1, b"a")
    reporter.vertex_output(TWO, 2, b"x\ny")
    reporter.vertex_output(ONE, 1, b"b\n")
    reporter.vertex_ended(TWO, "failed", 0, Diagnostic("step-failed", "no"))
    assert stream.getvalue() == "#2 0.000 x\n#1 0.000 ab\n#2 0.000 y\n#2 ERROR: no\n\n"


def test_a_name_is_one_line(reporter: PlainReporter, stream: io.StringIO) -> None:
    reporter.vertex_started(Vertex(3, "RUN a \\\n    b"))
    assert stream.getvalue() == "#3 RUN a \\ b\n"


def test_progress_is_told_now_and_then(
    reporter: PlainReporter, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second in range(100, 109):
        monkeypatch.setattr(time, "monotonic", lambda now=second: float(now))
        reporter.vertex_progress(ONE, "sha256:ab", (second - 100) * 1000, 8000)
    reporter.vertex_progress(ONE, "other", 5, None)
    assert stream.getvalue() == ("#1 sha256:ab 0B / 8kB\n#1 sha256:ab 5kB / 8kB\n#1 sha256:ab 8kB / 8kB\n#1 other 5B\n")


def test_the_first_progress_is_told_on_a_machine_that_has_just_started(
    reporter: PlainReporter, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 2.0)
    reporter.vertex_progress(ONE, "sha256:ab", 1, 8)
    assert stream.getvalue() == "#1 sha256:ab 1B / 8B\n"


def test_notes_warnings_and_cancellation(reporter: PlainReporter, stream: io.StringIO) -> None:
    reporter.vertex_note(ONE, "resolved")
    reporter.warning(Diagnostic("x", "odd", Span("Dockerfile", 3, 1, 3, 2), hint="mend it", severity="warning"))
    reporter.vertex_ended(ONE, "canceled", 1, None)
    assert stream.getvalue() == "#1 resolved\nWARNING: Dockerfile:3: odd (mend it)\n\n#1 CANCELED\n\n"
