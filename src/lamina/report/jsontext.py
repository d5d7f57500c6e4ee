"""Values as JSON text, also with names that are not UTF-8: such bytes are replaced, as in all that people read."""

from __future__ import annotations

from typing import Any

import msgspec

from lamina.dockerfile.source import printable

_encode = msgspec.json.Encoder().encode


def json_line(value: object) -> str:
    """On one line."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        return _encode(_readable(msgspec.to_builtins(value))).decode()


def json_page(value: object) -> str:
    """Indented, for people and programs."""
    return msgspec.json.format(json_line(value))


def _readable(value: Any) -> Any:
    """Plain data with each undecodable byte of its strings replaced."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {name: _readable(item) for name, item in value.items()}
        case list() | tuple():
            return [_readable(item) for item in value]
        case _:
            return value
