"""What `lamina repro` says."""

from __future__ import annotations

from lamina.diagnostics import Span
from lamina.digest import Digest
from lamina.explain.story import ToldStep
from lamina.image.compare import Difference
from lamina.report.repro import Finding, finding_json, finding_lines

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
STEP = ToldStep("web/2", "RUN a \\\n  b", Span("Dockerfile", 3, 1, 4, 4), "done")


def test_the_same_twice() -> None:
    assert finding_lines(Finding((ONE, ONE), (1.25, 3.0))) == [f"reproducible: {ONE}", "built in 1.2s and 3.0s"]


def test_the_first_step_and_file() -> None:
    first = (Difference("/a.pyc", "content", offset=8), Difference("/b", "mode", "0644", "0600"))
    found = Finding((ONE, TWO), (1, 1), STEP, "web", first, total=7, more=2)
    lines = finding_lines(found)
    assert lines[2:5] == [
        "the first step that differs: RUN a \\ b",
        "  Dockerfile:3",
        "  /a.pyc differs (content, byte 8, and 6 more)",
    ]
    assert lines[5].startswith("  compiled Python holds")
    assert lines[6:] == ["2 more steps differ after it", "built in 1.0s and 1.0s"]
    told = finding_json(found)
    assert told["step"] == {"stage": "web", "address": "web/2", "text": STEP.text, "line": 3}
    assert (told["total"], told["more"], told["same"]) == (7, 2, False)


def test_what_nobody_suspects_and_what_no_step_did() -> None:
    lines = finding_lines(Finding((ONE, TWO), (1, 1), STEP, "web", (Difference("/x", "content", line=1),), 1))
    assert "docs/reproducible.md" in lines[5]
    lines = finding_lines(Finding((ONE, TWO), (1, 1), settings=("created",)))
    assert lines[2] == "the layers are the same, the configuration is not: created"
