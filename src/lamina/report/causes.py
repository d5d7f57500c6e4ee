"""Causes in words: one short phrase a cause, as it stands in the table beside a step."""

from __future__ import annotations

from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange, Sole
from lamina.keys.looks import Look

_WIDTH = 48
_SOLE: dict[Sole, str] = {
    "mode": "only modes differ",
    "owner": "only owners differ",
    "line-ends": "only line ends differ",
    "git": "only files of .git differ",
}


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
            return f"{change.path} is different{_lines(change.lines)}"
        case "line-ends":
            return f"{change.path}: nothing but line ends"
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


def look_phrase(look: Look) -> str:
    """What an observed step saw that is otherwise now."""
    path = look.path or "/"
    match look.kind:
        case "entry":
            return f"it looked at {path}"
        case "list":
            return f"it listed {path}, where names changed"
        case "read":
            return f"it read {path}"
        case "link":
            return f"it followed the link {path}"
        case "xattrs":
            return f"it looked at the attributes of {path}"


def _lines(runs: tuple[tuple[int, int], ...]) -> str:
    """`: line 12`, `: lines 3 to 5`, `: lines 3 and 7`, `: after line 4`, `: lines from 3 on`."""
    if not runs:
        return ""
    (first, last), several = runs[0], len(runs) > 1
    if last < first:
        told = f"after line {first - 1}, where lines are gone" if first > 1 else "its first lines are gone"
    else:
        told = f"line {first}" if first == last else f"lines {first} to {last}"
    return f": {told} and {len(runs) - 1} more place{'s' if len(runs) > 2 else ''}" if several else f": {told}"


def _digest(value: str | None) -> str:
    return (value or "nothing").removeprefix("sha256:")[:12]


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
        case "added" if cause.part == "epoch":
            return "SOURCE_DATE_EPOCH is offered now"
        case "removed" if cause.part == "epoch":
            return "SOURCE_DATE_EPOCH is not offered now"
        case "added":
            return f"{_name(cause.part)} is new: {_short(cause.after)}"
        case "removed":
            return f"{_name(cause.part)} is gone"
        case "changed":
            return _changed(cause)


def _changed(cause: MissCause) -> str:
    if cause.files:
        told = file_phrase(cause.files[0])
        return f"{_SOLE[cause.sole]}: {told}" if cause.sole and cause.total > 1 else told
    match cause.part:
        case "base":
            return f"the base image is another: {_digest(cause.before)} → {_digest(cause.after)}"
        case "parent" if (cause.before or "").startswith("sha256:"):
            return "what lies below it came out differently"
        case "parent":
            return f"it stands on {_short(cause.after)!r}, not on {_short(cause.before)!r}"
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
