"""What an observed step looked at, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.explain.needed import Needed
from lamina.explain.observed import Saw, SeenCopy, Sight, Sort, sights, sort_of
from lamina.explain.story import ToldStep
from lamina.keys.looks import Look
from lamina.report.causes import file_phrase
from lamina.report.context import count, visible

#: So many paths of one sort are listed unless all are asked for.
_FEW = 12
_TEXT = 60
#: In the order in which they are told; what leads nowhere is told only if all is asked for.
_DID: dict[Sort, str] = {
    "read": "read {}",
    "listed": "listed {}",
    "followed": "followed the link {}",
    "attributes": "looked at the extended attributes of {}",
    "looked": "looked at {}",
    "missing": "looked for {}: not there",
    "walked": "went through {}",
    "outside": "looked for {}: not there",
}
_FOLDED: tuple[Sort, ...] = ("walked", "outside")


def read_phrase(step: ToldStep) -> str:
    """Why a step is cached: `it read 2 of 214 copied files, and nothing that it looked at has changed`."""
    read, files = step.read
    return f"it read {read} of {count(files).replace(' ', ' copied ')}, and nothing that it looked at has changed"


def saw_phrase(saw: Saw) -> str:
    """What made an observed step run, behind `it`: `listed shop, where new.py is new`."""
    change = saw.change
    if change is None:
        rest = "where names changed" if saw.sight.sort == "listed" else "which is different now"
        return visible(f"{_DID[saw.sight.sort].format(saw.sight.path)}, {rest}")
    told = file_phrase(change).removeprefix(change.path)
    folder, _, name = change.path.rpartition("/")
    if saw.inside:
        return visible(f"listed {folder or '.'}, where {name}{told}")
    did = "looked for {}" if (saw.look.kind, change.kind) == ("entry", "added") else _DID[saw.sight.sort]
    return visible(f"{did.format(change.path)}{', which' if told.startswith(' ') else ''}{told}")


def look_reason(look: Look) -> str:
    """The same of a look alone, with its path in the image: `it read /app/Pipfile, which is different now`."""
    return f"it {saw_phrase(Saw(look, Sight(f'/{look.path}', sort_of(look))))}"


def seen_lines(step: ToldStep, seen: Sequence[tuple[SeenCopy, Needed | None]], *, whole: bool = False) -> list[str]:
    """All that a step looked at, by the COPY that made each layer; `whole` tells all paths, and what it only passed."""
    lines = [f"Line {step.span.line}: {_text(step)}"]
    for one, needed in seen:
        lines += [f"  {_layer(one)}:", *(f"    {line}" for line in _sights(list(sights(one)), whole))]
        if needed is not None and needed.lines:
            lines.append(f"    all that it needs of it: {visible(' and '.join(needed.lines))}")
        elif needed is not None:
            lines.append("    it needs none of it")
    return lines


def _layer(one: SeenCopy) -> str:
    if one.copy is None:
        return f"a layer of {count(one.seen.files)}"
    return f"of line {one.copy.span.line}, {_text(one.copy)} ({count(one.seen.files)} in {visible('/' + one.top)})"


def _sights(found: Sequence[Sight], whole: bool) -> Iterator[str]:
    hidden = 0
    for sort, words in _DID.items():
        paths = [sight.path for sight in found if sight.sort == sort]
        shown = paths if whole else [] if sort in _FOLDED else paths[:_FEW]
        yield from (visible(words.format(path)) for path in shown)
        if sort in _FOLDED:
            hidden += len(paths) - len(shown)
        elif len(paths) > len(shown):
            yield f"{words.split(' {')[0]} {len(paths) - len(shown)} more (--all)"
    if all(sight.sort in _FOLDED for sight in found) and not whole:
        yield f"nothing{' but what leads to other files (--all)' if hidden else ''}"


def _text(step: ToldStep) -> str:
    line = visible(" ".join(step.text.split()))
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"
