"""Choosing how progress is shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.events import Reporter
from lamina.report.plain import PlainReporter
from lamina.report.rawjson import JsonReporter


@contextmanager
def opened(progress: str, *, quiet: bool = False) -> Iterator[Reporter]:
    """The reporter for `--progress auto|tty|plain|rawjson`, on standard error, for the length of a block."""
    if quiet:
        yield Reporter()
    elif progress == "rawjson":
        yield JsonReporter(sys.stderr)
    elif progress == "tty" or (progress == "auto" and sys.stderr.isatty()):
        from rich.console import Console

        from lamina.report.tty import TerminalReporter

        with TerminalReporter(
            Console(stderr=True, highlight=False, force_terminal=progress == "tty" or None)
        ) as reporter:
            yield reporter
    else:
        yield PlainReporter(sys.stderr)
