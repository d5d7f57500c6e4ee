"""What a check found in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from lamina import __version__
from lamina.diagnostics import Diagnostic, Severity, Span
from lamina.lint.rule import Finding, Rule
from lamina.lint.table import RULES

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}


def sarif_text(file: str, shown: Sequence[Finding], failure: Diagnostic | None) -> str:
    """One log with one run. What keeps the file from being built is a result too, of no rule in the list."""
    numbers = {rule.name: index for index, rule in enumerate(RULES)}
    results = [{**_result(one), "ruleIndex": numbers[one.rule]} for one in shown]
    if failure is not None:
        text = ". ".join(part for part in (failure.message, failure.cause, failure.hint) if part)
        place = failure.span or Span(file, 1, 1, 1, 1)
        results.append(_bare(failure.reference, "error", text, place))
    run = {
        "tool": {
            "driver": {
                "name": "lamina",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in RULES],
            }
        },
        "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": {"uri": _uri(file)}}],
        "results": results,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log)).decode()


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.name,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "help": {"text": f"{rule.summary}: see docs/rules/{rule.page}.md"},
        "defaultConfiguration": {"enabled": rule.on, "level": _LEVELS[rule.severity]},
        "properties": {"tags": ["BuildKit"] if rule.buildkit else [], "hadolint": rule.hadolint},
    }


def _result(one: Finding) -> dict[str, Any]:
    text = one.message if one.hint is None else f"{one.message}. {one.hint[:1].upper()}{one.hint[1:]}"
    result = _bare(one.rule, _LEVELS[one.severity], text, one.span)
    if one.edits:
        replacements = [
            {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.text}} for edit in one.edits
        ]
        change = {"artifactLocation": {"uri": _uri(one.span.file)}, "replacements": replacements}
        result["fixes"] = [{"description": {"text": f"What --fix does for {one.rule}"}, "artifactChanges": [change]}]
    return result


def _bare(rule: str, level: str, text: str, span: Span) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": _uri(span.file)}, "region": _region(span)}
    return {"ruleId": rule, "level": level, "message": {"text": text}, "locations": [{"physicalLocation": place}]}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _uri(file: str) -> str:
    """A path as a URI reference; what came from standard input has the name that it would have as a file."""
    if file == "<stdin>":
        return "Dockerfile"
    path = quote(file.encode("utf-8", "surrogateescape"))
    return f"file://{path}" if path.startswith("/") else path.removeprefix("./")
