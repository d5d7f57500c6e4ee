"""Progress as JSON lines, and several reporters at once."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from lamina.diagnostics import BuildFailure, Diagnostic, Span
from lamina.events import Vertex
from lamina.report.plain import PlainReporter
from lamina.report.rawjson import JsonReporter
from lamina.report.tee import Tee
from lamina.testing.world import memory_world


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_every_line_of_a_build_is_an_object_with_a_time() -> None:
    stream, world = io.StringIO(), memory_world()
    world.runner.steps["x"] = lambda spec, tree, output: output(2, b"\xff no\n") or 3  # type: ignore[func-returns-value]
    with pytest.raises(BuildFailure):
        world.build("FROM base\nRUN x\n", JsonReporter(stream))
    told = events(stream)
    assert all(isinstance(event["time"], float) and event["time"] > 1e9 for event in told)
    started = [event for event in told if event["event"] == "started"]
    ended = {event["vertex"]: event for event in told if event["event"] == "ended"}
    assert [event["vertex"] for event in started] == [1, 2, 3, 4]
    assert set(ended) == {1, 2, 3, 4}
    (run,) = [event for event in started if event["name"] == "[2/2] RUN x"]
    assert run["span"]["line"] == 2
    assert ended[run["vertex"]]["outcome"] == "failed"
    assert ended[run["vertex"]]["failure"]["reference"] == "step-failed"
    (output,) = [event for event in told if event["event"] == "output"]
    assert (output["data"], output["stream"]) == ("� no\n", 2)


def test_names_that_are_not_utf8_are_replaced() -> None:
    stream = io.StringIO()
    reporter = JsonReporter(stream)
    vertex = Vertex(1, "[1/1] COPY caf\udce9 /", Span("dir\udce9/Dockerfile", 1, 1, 1, 2))
    reporter.vertex_started(vertex)
    reporter.vertex_note(vertex, "caf\udce9")
    reporter.vertex_ended(vertex, "failed", 1.0, Diagnostic("context-x", "caf\udce9 is not there"))
    assert [event["event"] for event in events(stream)] == ["started", "note", "ended"]
    assert events(stream)[0]["name"] == "[1/1] COPY caf� /"
    assert events(stream)[2]["failure"]["message"] == "caf� is not there"


def test_progress_and_warnings() -> None:
    stream = io.StringIO()
    reporter = JsonReporter(stream)
    reporter.vertex_progress(Vertex(1, "x"), "sha256:ab", 5, None)
    reporter.warning(Diagnostic("x-y", "odd", severity="warning"))
    progress, warning = events(stream)
    assert (progress["done"], progress["total"], progress["item"]) == (5, None, "sha256:ab")
    assert warning["diagnostic"]["severity"] == "warning"


def test_a_tee_tells_both_the_same() -> None:
    first, second = io.StringIO(), io.StringIO()
    world = memory_world()
    world.runner.steps["x"] = lambda spec, tree, output: output(1, b"out\n") or 0  # type: ignore[func-returns-value]
    options: Any = {"reporter": Tee(PlainReporter(first), JsonReporter(second))}
    world.build("FROM base\nRUN x\n", **options)
    names = {event["name"] for event in events(second) if event["event"] == "started"}
    assert all(name in first.getvalue() for name in names)
    kinds = {event["event"] for event in events(second)}
    assert kinds == {"started", "ended", "output", "progress", "note"}
