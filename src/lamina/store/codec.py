"""Values to bytes and back, also with strings that carry undecodable bytes as surrogates."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_guard = threading.Lock()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
_PLAIN, _SURROGATES = b"\0", b"\1"


def to_blob(text: str) -> bytes:
    """Text for a BLOB column."""
    return text.encode("utf-8", "surrogateescape")


def encode(value: object) -> bytes:
    """MessagePack behind one byte that says how strings are written.

    MessagePack's strings are UTF-8. Where one is not, all strings are written as if their bytes were Latin-1, which is
    longer and slower and rare.
    """
    try:
        return _PLAIN + msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        escaped = _map_strings(msgspec.to_builtins(value), lambda text: to_blob(text).decode("latin-1"))
        return _SURROGATES + msgspec.msgpack.encode(escaped)


def decode(data: bytes, kind: type[T]) -> T:
    """The value that `encode` took. Raises ValueError if the bytes are damaged."""
    try:
        if data[:1] == _PLAIN:
            found: T = _decoder(kind).decode(memoryview(data)[1:])
            return found
        if data[:1] == _SURROGATES:
            loose = msgspec.msgpack.decode(memoryview(data)[1:])
            plain = _map_strings(loose, lambda text: text.encode("latin-1").decode("utf-8", "surrogateescape"))
            return msgspec.convert(plain, kind)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError(f"damaged: {error}") from error
    raise ValueError("damaged: no known encoding")


def _decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """One for each type, made by one thread at a time: msgspec (0.22) crashes when two make it look at a type for the
    first time at once."""
    with _guard:
        if kind not in _decoders:
            _decoders[kind] = msgspec.msgpack.Decoder(kind)
        return _decoders[kind]


def _map_strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {_map_strings(key, change): _map_strings(item, change) for key, item in value.items()}
    return value
