"""What the engine tells while it builds: a class of no-op methods, one a decision, that reporters override.

The engine calls these from several threads, one call at a time (it holds a lock around each).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from lamina.diagnostics import Diagnostic, Span

#: `cached` no work; `done` ran; `metadata` changed the configuration alone; `canceled` another step failed first.
Outcome = Literal["cached", "done", "failed", "metadata", "canceled"]


class Vertex(Struct, frozen=True):
    """One line of progress: a step or an internal job (load the Dockerfile, resolve an image, export).

    `number` counts from 1 in order of appearance (`#5`); `name` is the text behind it (`[build 2/4] RUN make`).
    """

    number: int
    name: str
    span: Span | None = None


class Reporter:
    """Hears everything, says nothing."""

    def vertex_started(self, vertex: Vertex) -> None:
        """Work on the vertex begins. Each vertex that starts also ends."""

    def vertex_output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        """Bytes that a step wrote: stream 1 or 2; chunks may end inside a line or a character."""

    def vertex_progress(self, vertex: Vertex, item: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of `item` (a blob, a layer) are there; total is None while unknown."""

    def vertex_note(self, vertex: Vertex, text: str) -> None:
        """One line of remark, such as the digest that a tag resolved to."""

    def vertex_ended(self, vertex: Vertex, outcome: Outcome, seconds: float, failure: Diagnostic | None) -> None:
        """The vertex is over; `seconds` of wall clock since it started; `failure` what stopped it, if that is known."""

    def warning(self, diagnostic: Diagnostic) -> None:
        """Something to mend that does not stop the build."""
