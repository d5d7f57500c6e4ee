"""Numbering, timing and locking around a reporter: the engine's threads narrate through this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamina.diagnostics import BuildFailure, Diagnostic, Span
from lamina.events import Outcome, Reporter, Vertex


class Narrator:
    """Tells a reporter what happens, one call at a time, and keeps the time of each vertex (monotonic seconds)."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lock = threading.Lock()
        self._count = 0
        self._started: dict[int, float] = {}

    def begin(self, name: str, span: Span | None = None) -> Vertex:
        with self._lock:
            self._count += 1
            vertex = Vertex(self._count, name, span)
            self._started[vertex.number] = time.monotonic()
            self._reporter.vertex_started(vertex)
            return vertex

    def end(self, vertex: Vertex, outcome: Outcome, failure: Diagnostic | None = None) -> float:
        """Close a vertex; returns its seconds."""
        with self._lock:
            seconds = time.monotonic() - self._started.pop(vertex.number)
            self._reporter.vertex_ended(vertex, outcome, seconds, failure)
            return seconds

    @contextmanager
    def job(self, name: str, span: Span | None = None) -> Iterator[Vertex]:
        """A vertex around a block: done, canceled, or failed if the block raises; a failure gets its place."""
        vertex = self.begin(name, span)
        try:
            yield vertex
        except BuildFailure as failure:
            if span is not None:
                failure.at(span)
            self.end(vertex, "failed", failure.diagnostic)
            raise
        except BaseException:
            self.end(vertex, "canceled")
            raise
        self.end(vertex, "done")

    def output(self, vertex: Vertex) -> Callable[[int, bytes], None]:
        def write(stream: int, data: bytes) -> None:
            with self._lock:
                self._reporter.vertex_output(vertex, stream, data)

        return write

    def progress(self, vertex: Vertex) -> Callable[[str, int, int | None], None]:
        def tell(item: str, done: int, total: int | None) -> None:
            with self._lock:
                self._reporter.vertex_progress(vertex, item, done, total)

        return tell

    def note(self, vertex: Vertex, text: str) -> None:
        with self._lock:
            self._reporter.vertex_note(vertex, text)

    def warning(self, diagnostic: Diagnostic) -> None:
        with self._lock:
            self._reporter.warning(diagnostic)
