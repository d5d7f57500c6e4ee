"""`--format`: what of an answer is printed, in the part of Go's templates that Docker's users write.

`{{.Config.Env}}`, `{{json .Config}}` and `{{index .Config.Labels "key"}}` are known; names count in any case. Values
look as Go prints them: `[a b]`, `map[k:v]`, `<no value>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lamina.diagnostics import BuildFailure
from lamina.report.jsontext import json_line

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)')
_NOTHING = "<no value>"


def render(template: str, value: Mapping[str, Any]) -> str:
    """`template` with its actions replaced by what they say of `value`. Raises BuildFailure `usage-format`."""
    text = template.replace(r"\t", "\t").replace(r"\n", "\n")
    return _ACTION.sub(lambda found: _action(found[1], value), text)


def fields(template: str) -> list[str]:
    """The names that a template's actions take, in order: the head of a table."""
    return [part.rpartition(".")[2] for action in _ACTION.findall(template) for part in action.split() if "." in part]


def _action(text: str, value: Mapping[str, Any]) -> str:
    words = [(quoted or raw, bool(quoted or raw)) if not bare else (bare, False) for quoted, raw, bare in _words(text)]
    match words:
        case [(path, False)] if path.startswith("."):
            return _shown(_at(value, path))
        case [("json", False), (path, False)] if path.startswith("."):
            found = _at(value, path)
            return json_line(None if found is _NOTHING else found)
        case [("index", False), (path, False), *keys] if path.startswith(".") and keys:
            found = _at(value, path)
            for key, _ in keys:
                found = _item(found, key)
            return _shown(found)
    raise BuildFailure(
        "usage-format",
        f"{{{{{text}}}}} is not known",
        hint='write {{.Name}}, {{json .Name}} or {{index .Name "key"}}; for more, pass the JSON to jq',
    )


def _words(text: str) -> Iterator[tuple[str, str, str]]:
    for found in _WORD.finditer(text):
        yield found[1] or "", found[2] or "", found[3] or ""


def _at(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        value = _item(value, name)
    return value


def _item(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        return next((item for key, item in value.items() if key.lower() == name.lower()), _NOTHING)
    if isinstance(value, Sequence) and not isinstance(value, str) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return _NOTHING


def _shown(value: Any) -> str:
    match value:
        case None:
            return _NOTHING
        case bool():
            return str(value).lower()
        case str():
            return value
        case Mapping():
            # The values of a set, such as the exposed ports, are empty objects.
            pairs = (f"{key}:{'{}' if item == {} else _shown(item)}" for key, item in sorted(value.items()))
            return f"map[{' '.join(pairs)}]"
        case Sequence():
            return f"[{' '.join(map(_shown, value))}]"
        case _:
            return str(value)
