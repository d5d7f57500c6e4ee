"""What `lamina context --json` prints: see `docs/formats/context.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from msgspec import to_builtins

from lamina.context.inspect import Look
from lamina.explain.readings import Reading, Taking
from lamina.keys.filetree import FileRecord


def document(context: str, found: Look, fields: dict[str, Any]) -> str:
    """The whole answer about a context. Bytes of names that are not UTF-8 become lone surrogates, as escapes."""
    rules = found.rules.rules if found.rules is not None else ()
    head = {"context": context, "ignore_file": rules[0].span.file if rules else None}
    return json.dumps(to_builtins({**head, **fields}), indent=2)


def instruction(one: Reading) -> dict[str, Any]:
    """An instruction that reads the context, without its entries."""
    names = ("stage", "span", "keyword", "text", "files", "size", "missing", "unknown")
    return {name: getattr(one, name) for name in names}


def takings(found: Iterable[Taking] | None) -> list[dict[str, Any]] | None:
    """The instructions that take a path, None if that is not known."""
    return None if found is None else [{**instruction(one.reading), "part": one.part} for one in found]


def entries(records: Iterable[FileRecord]) -> list[dict[str, Any]]:
    """Entries of the context."""
    return [{name: getattr(record, name) for name in ("path", "kind", "size", "target")} for record in records]
