"""What --exclude and --parents make of a selection (Dockerfile reference, "COPY --exclude", "COPY --parents").

Patterns are those of ignore files. For --exclude they count from the directory that is copied (a file is known by its
name alone), with --parents from the pivot: the `/./` of a source, or the root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from lamina.diagnostics import Span
from lamina.dockerfile.ignore import IgnoreRules, rules_of
from lamina.keys.filetree import FileRecord, Selection
from lamina.plan.scope import normal_path


def without(selections: Sequence[Selection], exclude: Sequence[str], span: Span | None = None) -> tuple[Selection, ...]:
    """The selections less what the patterns match; a file that they match is gone altogether.

    Raises BuildFailure `context-bad-ignore-pattern` at `span`.
    """
    if not exclude:
        return tuple(selections)
    rules = rules_of(exclude, span)
    kept: list[Selection] = []
    for one in selections:
        if one.is_dir:
            kept.append(replace(one, files=_filtered(one.files, one.base, lambda path: not rules.excluded(path))))
        elif not rules.excluded(one.base.rpartition("/")[2]):
            kept.append(one)
    return tuple(kept)


def pivot(source: str) -> tuple[str, str]:
    """A source of --parents as the directory from which names are kept, and the pattern below it."""
    head, mark, tail = source.partition("/./")
    return (head or "/", tail) if mark else ("/", source)


def with_parents(top: Selection, pattern: str, span: Span | None = None) -> tuple[Selection, ...]:
    """What a pattern matches below the pivot `top` (all of it), with the directories on the way; `()` for nothing.

    Raises BuildFailure `context-bad-ignore-pattern` at `span`.
    """
    rest = normal_path("/" + pattern)[1:]
    rules: IgnoreRules | None = rules_of((rest,), span) if rest else None
    files = _filtered(top.files, top.base, lambda path: rules is None or rules.excluded(path))
    own = tuple(record for record in files if record.path != top.base)
    return (Selection(top.base, True, own),) if own else ()


def _filtered(files: Sequence[FileRecord], base: str, wanted: Callable[[str], bool]) -> tuple[FileRecord, ...]:
    """The wanted records, and the directories that hold them."""
    strip = len(base) + 1 if base else 0
    chosen = {record.path for record in files if record.path == base or wanted(record.path[strip:])}
    for path in list(chosen):
        while "/" in path[strip:]:
            path = path.rpartition("/")[0]
            chosen.add(path)
    return tuple(record for record in files if record.path in chosen)
