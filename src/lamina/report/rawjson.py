"""Progress as a stream of JSON objects, one a line: `docs/formats/events.md`."""

from __future__ import annotations

import time
from typing import Any, TextIO

from lamina.diagnostics import Diagnostic
from lamina.events import Outcome, Reporter, Vertex
from lamina.report.jsontext import json_line


class JsonReporter(Reporter):
    """Every event with its name and the time in seconds since the epoch. Output that is not UTF-8 is replaced."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: str, **fields: Any) -> None:
        self._stream.write(json_line({"event": event, "time": round(time.time(), 3), **fields}) + "\n")
        self._stream.flush()

    def vertex_started(self, vertex: Vertex) -> None:
        self.emit("started", vertex=vertex.number, name=vertex.name, span=vertex.span)

    def vertex_output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        self.emit("output", vertex=vertex.number, stream=stream, data=data.decode("utf-8", "replace"))

    def vertex_progress(self, vertex: Vertex, item: str, done: int, total: int | None) -> None:
        self.emit("progress", vertex=vertex.number, item=item, done=done, total=total)

    def vertex_note(self, vertex: Vertex, text: str) -> None:
        self.emit("note", vertex=vertex.number, text=text)

    def vertex_ended(self, vertex: Vertex, outcome: Outcome, seconds: float, failure: Diagnostic | None) -> None:
        self.emit("ended", vertex=vertex.number, outcome=outcome, seconds=round(seconds, 6), failure=failure)

    def warning(self, diagnostic: Diagnostic) -> None:
        self.emit("warning", diagnostic=diagnostic)
