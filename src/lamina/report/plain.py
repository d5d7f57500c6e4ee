"""Progress as plain lines in BuildKit's shape, so that programs which read its logs read lamina's."""

from __future__ import annotations

import time
from typing import Protocol

from lamina.diagnostics import Diagnostic
from lamina.events import Outcome, Reporter, Vertex
from lamina.report.words import size


class TextSink(Protocol):
    """What text is written to: a file, a terminal, a log."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class PlainReporter(Reporter):
    """Writes `#5 [2/4] RUN make`, `#5 0.123 output`, `#5 DONE 1.2s`; every line carries its vertex's number."""

    def __init__(self, stream: TextSink) -> None:
        self._stream = stream
        self._started: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self._told: dict[tuple[int, str], float] = {}

    def vertex_started(self, vertex: Vertex) -> None:
        self._started[vertex.number] = time.monotonic()
        self._write(f"#{vertex.number} {' '.join(vertex.name.split())}")

    def vertex_output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        *lines, rest = (self._partial.pop(vertex.number, b"") + data).split(b"\n")
        for line in lines:
            self._line(vertex, line)
        if rest:
            self._partial[vertex.number] = rest

    def vertex_progress(self, vertex: Vertex, item: str, done: int, total: int | None) -> None:
        # A line at the beginning, each five seconds, and at the end: a log wants no animation.
        now = time.monotonic()
        if done == total or now - self._told.get((vertex.number, item), -5.0) >= 5:
            self._told[vertex.number, item] = now
            amount = size(done) + (f" / {size(total)}" if total is not None else "")
            self._write(f"#{vertex.number} {item} {amount}")

    def vertex_note(self, vertex: Vertex, text: str) -> None:
        self._write(f"#{vertex.number} {text}")

    def vertex_ended(self, vertex: Vertex, outcome: Outcome, seconds: float, failure: Diagnostic | None) -> None:
        if self._partial.get(vertex.number):
            self._line(vertex, self._partial.pop(vertex.number))
        match outcome:
            case "cached":
                self._write(f"#{vertex.number} CACHED\n")
            case "failed":
                self._write(f"#{vertex.number} ERROR: {failure.message if failure else 'failed'}\n")
            case "canceled":
                self._write(f"#{vertex.number} CANCELED\n")
            case _:
                self._write(f"#{vertex.number} DONE {seconds:.1f}s\n")

    def warning(self, diagnostic: Diagnostic) -> None:
        hint = f" ({diagnostic.hint})" if diagnostic.hint else ""
        place = f"{diagnostic.span.file}:{diagnostic.span.line}: " if diagnostic.span else ""
        self._write(f"WARNING: {place}{diagnostic.message}{hint}\n")

    def _line(self, vertex: Vertex, line: bytes) -> None:
        # What a carriage return overwrites on a screen is left out.
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
        self._write(f"#{vertex.number} {time.monotonic() - self._started[vertex.number]:.3f} {text}")

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()
