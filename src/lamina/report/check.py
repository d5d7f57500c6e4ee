"""What a check found, as text with the lines concerned, as JSON, and as annotations of GitHub's workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lamina.diagnostics import Diagnostic, Severity
from lamina.lint.rule import Finding, Rule
from lamina.lint.table import BY_NAME
from lamina.report.errors import diagnostic_lines
from lamina.report.words import columns

_COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}


def text_lines(
    shown: Sequence[Finding],
    failure: Diagnostic | None,
    all_found: Sequence[Finding],
    sources: Mapping[str, Sequence[str]],
) -> list[str]:
    """The findings as errors are shown, and a last line that counts."""
    lines: list[str] = []
    for one in shown:
        told = Diagnostic(one.rule, one.message, one.span, None, one.hint, one.severity)
        lines += [*diagnostic_lines(told, sources), ""]
    if failure is not None:
        return [*lines, *diagnostic_lines(failure, sources)]
    return [*lines, _count(shown, all_found)]


def _count(shown: Sequence[Finding], all_found: Sequence[Finding]) -> str:
    names: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "info"}
    parts = []
    for severity, name in names.items():
        number = sum(one.severity == severity for one in shown)
        if number:
            parts.append(f"{number} {name}{'s' if number > 1 and severity != 'info' else ''}")
    fixable = sum(bool(one.edits) for one in shown)
    told = ", ".join(parts) or "nothing to complain about"
    if fixable:
        told += f"; --fix mends {fixable} of them" if len(shown) > 1 else "; --fix mends it"
    hidden = len(all_found) - len(shown)
    if hidden:
        least = "info" if any(one.severity == "info" for one in all_found) else "warning"
        told += f" ({hidden} more with --level {least})"
    return told


def json_text(file: str, shown: Sequence[Finding], failure: Diagnostic | None) -> str:
    """The document that `docs/formats/check.md` describes."""
    document = {
        "file": file,
        "findings": [
            {
                "rule": one.rule,
                "severity": one.severity,
                "message": one.message,
                "hint": one.hint,
                "span": one.span,
                "summary": BY_NAME[one.rule].summary,
                "page": f"docs/rules/{BY_NAME[one.rule].page}.md",
                "edits": one.edits,
            }
            for one in shown
        ],
        "error": failure,
    }
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def github_lines(shown: Sequence[Finding], failure: Diagnostic | None) -> list[str]:
    """Workflow commands, one a finding, which GitHub shows beside the lines of a change."""
    told = [Diagnostic(one.rule, one.message, one.span, None, one.hint, one.severity) for one in shown]
    lines = []
    for one in [*told, *([failure] if failure is not None else [])]:
        place = []
        if one.span is not None:
            place = [f"file={_property(one.span.file)}", f"line={one.span.line}", f"endLine={one.span.end_line}"]
            if one.span.line == one.span.end_line:
                place += [f"col={one.span.column}", f"endColumn={one.span.end_column}"]
        text = "\n".join(part for part in (one.message, one.cause, one.hint and f"hint: {one.hint}") if part)
        fields = ",".join([*place, f"title={_property(one.reference)}"])
        lines.append(f"::{_COMMANDS[one.severity]} {fields}::{_data(text)}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def rule_lines(rules: Sequence[Rule]) -> list[str]:
    """A table of the rules: name, severity, whether it is on and what it needs, whose it is too, what it asks for."""
    rows = [("rule", "severity", "", "also", "asks that")]
    for rule in rules:
        state = "off" if not rule.on else ""
        if rule.needs == "context":
            state = f"{state} with CONTEXT".strip()
        also = ("BuildKit " if rule.buildkit else "") + " ".join(rule.hadolint)
        rows.append((rule.name, rule.severity, state, also.strip(), rule.summary))
    return columns(rows)
