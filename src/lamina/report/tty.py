"""Progress on a terminal: finished lines stay, running ones are redrawn below with their last lines of output."""

from __future__ import annotations

import time
from collections import deque

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from lamina.diagnostics import Diagnostic
from lamina.events import Outcome, Reporter, Vertex
from lamina.report.words import duration, size

_TAIL = 6


class _Running:
    """A vertex at work, drawn anew at each refresh."""

    def __init__(self, vertex: Vertex) -> None:
        self.vertex = vertex
        self.started = time.monotonic()
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.partial = b""
        self.items: dict[str, tuple[int, int | None]] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _line("=>", self.vertex.name, duration(time.monotonic() - self.started), "bold", options.max_width)
        # Drawn by a thread of its own while the engine's threads add lines: go through copies.
        for item, (done, total) in tuple(self.items.items()):
            amount = size(done) + (f" / {size(total)}" if total is not None else "")
            yield _line("  ", f"{item[:24]} {amount}", "", "cyan", options.max_width)
        for line in tuple(self.tail):
            yield Text(f"   {line}", style="dim", no_wrap=True, overflow="ellipsis")


class TerminalReporter(Reporter):
    """Calm: one line a vertex, at most ten frames a second, nothing jumps. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running: dict[int, _Running] = {}
        self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._render)

    def __enter__(self) -> TerminalReporter:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def vertex_started(self, vertex: Vertex) -> None:
        self._running[vertex.number] = _Running(vertex)

    def vertex_output(self, vertex: Vertex, stream: int, data: bytes) -> None:
        running = self._running.get(vertex.number)
        if running is None:  # the last words of a step that was killed
            return
        *lines, running.partial = (running.partial + data).split(b"\n")
        for line in lines[-_TAIL:]:
            text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
            # Without escape sequences: a step must not move the cursor or clear our screen.
            running.tail.append(Text.from_ansi(text).plain)

    def vertex_progress(self, vertex: Vertex, item: str, done: int, total: int | None) -> None:
        running = self._running.get(vertex.number)
        if running is None:  # a download that was under way when its vertex failed
            return
        running.items[item] = (done, total)
        if done == total:
            del running.items[item]

    def vertex_ended(self, vertex: Vertex, outcome: Outcome, seconds: float, failure: Diagnostic | None) -> None:
        self._running.pop(vertex.number, None)
        mark, style = _MARKS.get(outcome, ("=>", ""))
        right = "CACHED" if outcome == "cached" else duration(seconds)
        self._console.print(_line(mark, vertex.name, right, style, self._console.width))

    def warning(self, diagnostic: Diagnostic) -> None:
        hint = f" ({diagnostic.hint})" if diagnostic.hint else ""
        self._console.print(Text(f"WARNING: {diagnostic.message}{hint}", style="yellow"))

    def _render(self) -> Group:
        return Group(*self._running.values())


_MARKS = {"failed": ("!!", "red"), "cached": ("=>", "green"), "canceled": ("--", "dim")}


def _line(mark: str, name: str, right: str, style: str, width: int) -> Text:
    room = max(10, width - len(mark) - len(right) - 3)
    text = " ".join(name.split())
    text = text if len(text) <= room else text[: room - 1] + "…"
    return Text(f"{mark} {text:<{room}} {right}", style=style, no_wrap=True, overflow="crop")
