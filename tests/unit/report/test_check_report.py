"""Findings as text, annotations and SARIF: counting, escaping, paths."""

from __future__ import annotations

import json

import pytest

from lamina.diagnostics import Diagnostic, Severity, Span
from lamina.lint.rule import Edit, Finding
from lamina.report.check import github_lines, text_lines
from lamina.report.sarif import sarif_text

PLACE = Span("Dockerfile", 2, 1, 2, 4)


def finding(severity: Severity, *edits: Edit) -> Finding:
    return Finding("EarlyArg", severity, "something", PLACE, "do so", edits)


EDIT = Edit(PLACE, "x")


@pytest.mark.parametrize(
    ("shown", "hidden", "last"),
    [
        ([], [], "nothing to complain about"),
        ([], [finding("info")], "nothing to complain about (1 more with --level info)"),
        ([finding("error")], [], "1 error"),
        ([finding("warning"), finding("warning", EDIT)], [], "2 warnings; --fix mends 1 of them"),
        ([finding("warning", EDIT)], [], "1 warning; --fix mends it"),
        ([finding("error")], [finding("warning")], "1 error (1 more with --level warning)"),
        ([finding("error"), finding("info"), finding("info")], [], "1 error, 2 info"),
    ],
)
def test_the_last_line_counts(shown: list[Finding], hidden: list[Finding], last: str) -> None:
    assert text_lines(shown, None, [*shown, *hidden], {})[-1] == last


def test_a_finding_is_shown_as_an_error_is() -> None:
    lines = text_lines([finding("warning")], None, [finding("warning")], {"Dockerfile": ["FROM a", "ARG b", "RUN c"]})
    assert lines == [
        "Dockerfile:2",
        "  1 |     FROM a",
        "  2 | >>> ARG b",
        "    |     ^^^",
        "  3 |     RUN c",
        "warning: something",
        "  hint: do so",
        "  [EarlyArg]",
        "",
        "1 warning",
    ]


def test_an_annotation_is_escaped() -> None:
    odd = Diagnostic("dockerfile-x", "50%\nof it", Span("a:b,c", 1, 2, 3, 4), "why", None)
    assert github_lines([], odd) == [
        "::error file=a%3Ab%2Cc,line=1,endLine=3,title=dockerfile-x::50%25%0Aof it%0Awhy",
    ]
    assert github_lines([finding("info")], None)[0].startswith("::notice file=Dockerfile,line=2,endLine=2,col=1,")


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("Dockerfile", "Dockerfile"),
        ("./a b/Dockerfile", "a%20b/Dockerfile"),
        ("/x/Dockerfile", "file:///x/Dockerfile"),
        ("<stdin>", "Dockerfile"),
    ],
)
def test_a_path_is_a_uri(file: str, uri: str) -> None:
    log = json.loads(sarif_text(file, [], Diagnostic("dockerfile-x", "no", None, None, None)))
    (result,) = log["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri
