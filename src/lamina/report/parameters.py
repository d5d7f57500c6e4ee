"""The targets of a Dockerfile and what they can be given, as tables and as the JSON of BuildKit's subrequests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.diagnostics import Span
from lamina.plan.parameters import Lent, Parameters, Target
from lamina.report.jsontext import json_page
from lamina.report.words import columns


def targets_lines(found: Sequence[Target]) -> list[str]:
    """A table of the stages. One without a name is called by its number, which `--target` takes too."""
    rows = [("TARGET", "DESCRIPTION")]
    for number, one in enumerate(found):
        name = one.name or ("" if one.default else str(number))
        rows.append((f"{name} (default)".strip() if one.default else name, one.description))
    return columns(rows)


def parameters_lines(found: Parameters) -> list[str]:
    """A head if there is something to say of the target, and a table of each kind that there is."""
    lines: list[str] = []
    if found.name or found.description:
        head = [("TARGET:", found.name or "(default)")]
        head += [("DESCRIPTION:", found.description)] if found.description else []
        lines += [*columns(head, 1), ""]
    if found.arguments:
        rows = [(one.name, one.value or "", one.description) for one in found.arguments]
        lines += [*columns([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows]), ""]
    for title, lent in (("SECRET", found.secrets), ("SSH", found.ssh)):
        if lent:
            required = [(one.id, "true" if one.required else "") for one in lent]
            lines += [*columns([(title, "REQUIRED"), *required]), ""]
    if found.caches:
        lines += ["CACHE MOUNT", *(one.id for one in found.caches), ""]
    return lines[:-1] or ["This target takes nothing."]


def targets_json(found: Sequence[Target], source: bytes) -> str:
    """The document of `frontend.targets`: `targets` and, in base64, `sources`."""
    told = [
        _without_empty(
            name=one.name,
            default=one.default,
            description=one.description,
            base=one.base,
            platform=one.platform,
            location=_location(one.span),
        )
        for one in found
    ]
    return json_page({"targets": told, "sources": [source]})


def parameters_json(found: Parameters, source: bytes) -> str:
    """The document of `frontend.outline`."""
    document = _without_empty(
        name=found.name,
        description=found.description,
        args=[
            _without_empty(name=one.name, description=one.description, value=one.value, location=_location(one.span))
            for one in found.arguments
        ],
        secrets=_lent(found.secrets),
        ssh=_lent(found.ssh),
        cache=[{"ID": one.id, "location": _location(one.span)} for one in found.caches],
        sources=[source],
    )
    return json_page(document)


def _lent(found: Sequence[Lent]) -> list[dict[str, Any]]:
    return [_without_empty(name=one.id, required=one.required, location=_location(one.span)) for one in found]


def _location(span: Span) -> dict[str, Any]:
    """Whole lines, counted from 1, the last included."""
    return {"ranges": [{"start": {"line": span.line}, "end": {"line": span.end_line}}]}


def _without_empty(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
