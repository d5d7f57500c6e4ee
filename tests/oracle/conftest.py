"""Says at the end how the builds compared with Docker's came out."""

from __future__ import annotations

from collections import Counter

import pytest

WORDS = {
    "same": "the same as Docker's",
    "written": "as the documentation says (Docker 20.10 lacks the form)",
    "different": "different on purpose",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = Counter[str]()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            kind = dict(report.user_properties).get("oracle")
            if kind:
                counts["failed" if outcome == "failed" else WORDS[str(kind)]] += 1
    if counts:
        terminalreporter.section("compared with Docker")
        for name in (*WORDS.values(), "failed"):
            terminalreporter.line(f"{counts[name]:5} {name}")
