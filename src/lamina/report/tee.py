"""Telling several reporters: the screen and the log."""

from __future__ import annotations

from lamina.diagnostics import Diagnostic
from lamina.events import Outcome, Reporter, Vertex


class Tee(Reporter):
    """Tells each of its reporters everything, in order."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def vertex_started(self, vertex: Vertex) -> None:
        for reporter in self._reporters:
            reporter.vertex_started(vertex)

    def vertex_output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        for reporter in self._reporters:
            reporter.vertex_output(vertex, stream, data)

    def vertex_progress(self, vertex: Vertex, item: str, done: int, total: int | None) -> None:
        for reporter in self._reporters:
            reporter.vertex_progress(vertex, item, done, total)

    def vertex_note(self, vertex: Vertex, text: str) -> None:
        for reporter in self._reporters:
            reporter.vertex_note(vertex, text)

    def vertex_ended(self, vertex: Vertex, outcome: Outcome, seconds: float, failure: Diagnostic | None) -> None:
        for reporter in self._reporters:
            reporter.vertex_ended(vertex, outcome, seconds, failure)

    def warning(self, diagnostic: Diagnostic) -> None:
        for reporter in self._reporters:
            reporter.warning(diagnostic)
