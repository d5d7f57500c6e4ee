"""Causes in words: one short phrase a cause, as it stands in the table beside a step."""

from __future__ import annotations

from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange, only_modes

_WIDTH = 48


def phrase(cause: MissCause, more: int = 0) -> str:
    """Why a step did not come from the cache, in one line without a full stop."""
    text = _phrase(cause)
    return f"{text} (and {more} more)" if more else text


def file_phrase(change: FileChange) -> str:
    """One file's difference."""
    match change.kind:
        case "added":
            return f"{change.path} is new"
        case "removed":
            return f"{change.path} is gone"
        case "content":
            return f"{change.path} is different"
        case "mode":
            return f"{change.path}: mode {change.before} → {change.after}"
        case "type":
            return f"{change.path} was a {change.before}, is a {change.after}"
        case "target":
            return f"{change.path} points to {change.after}, not to {change.before}"
        case "owner":
            return f"{change.path}: owner {change.before} → {change.after}"
        case "xattrs":
            return f"{change.path}: extended attributes differ"


def _phrase(cause: MissCause) -> str:
    match cause.kind:
        case "first_build":
            return "never built before"
        case "evicted":
            return "its layer is no longer in the store"
        case "forced":
            return "--no-cache"
        case "order":
            return "the same inputs in another order"
        case "parent":
            return "a step above it was rebuilt"
        case "added":
            return f"{_name(cause.part)} is new: {_short(cause.after)}"
        case "removed":
            return f"{_name(cause.part)} is gone"
        case "changed":
            return _changed(cause)


def _changed(cause: MissCause) -> str:
    if cause.files:
        told = file_phrase(cause.files[0])
        return f"only modes differ, {told}" if len(cause.files) > 1 and only_modes(cause.files) else told
    match cause.part:
        case "parent":
            return "what it builds on is another image or instruction"
        case "command":
            return "the command is different"
        case part if part.startswith("source "):
            return "the files that it copies are different"
        case _:
            return f"{_name(cause.part)}: {_short(cause.before)} → {_short(cause.after)}"


def _name(part: str) -> str:
    return part.removeprefix("env ") if part.startswith("env ") else f"the {part}"


def _short(value: str | None) -> str:
    text = value or "nothing"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
