"""What an observed step looked at, as its user knows it: by the COPY that made each layer. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from lamina.explain.story import Story, ToldStage, ToldStep
from lamina.explain.table import own_causes
from lamina.keys.decide import MissCause
from lamina.keys.facts import FileChange
from lamina.keys.looks import ANSWER, NOT_THERE, Look, Observations, SeenLayer, altered

#: read, listed, followed, attributes: what was done at the path · looked: it was asked for, and is there · missing: it
#: was asked for, and is not there · walked: a directory on the way to others · outside: it is not there, which tells
#: nothing: it lies beside what was copied, or another copy has it.
Sort = Literal["read", "listed", "followed", "attributes", "looked", "missing", "walked", "outside"]

_SORTS: dict[str, Sort] = {"read": "read", "list": "listed", "link": "followed", "xattrs": "attributes"}
#: What every process looks for in the root, so that it says nothing of a copy to `/`.
_SYSTEM = frozenset(
    ("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt")
) | frozenset(("opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"))


class SeenCopy(Struct, frozen=True):
    """What a step saw of one copied layer. `copy` made the layer, None if that is not known; `top` is where its files
    are: a path without slashes around, empty for the root. `elsewhere` are the paths that were found in other copied
    layers."""

    copy: ToldStep | None
    top: str
    seen: SeenLayer
    elsewhere: frozenset[str] = frozenset()


class Sight(Struct, frozen=True):
    """One thing that a step saw. `path` counts from where the files were copied to, which is `.`; from the root, with a
    slash in front, if it lies elsewhere."""

    path: str
    sort: Sort


class Saw(Struct, frozen=True):
    """What a step saw that is otherwise now, so that it ran. `change` is what was done to the files, if that is
    known; it is `inside` if it was done in the directory that was listed, and not to the path itself."""

    look: Look
    sight: Sight
    change: FileChange | None = None
    inside: bool = False


def seen_copies(story: Story, step: ToldStep, observations: Observations) -> tuple[SeenCopy, ...]:
    """What a step saw, in the order of the layers, the lowest first."""
    copies = copies_below(story, step)
    known = copies if len(copies) == len(observations.seen) else [None] * len(observations.seen)
    found = [frozenset(_found(seen)) for seen in observations.seen]
    return tuple(
        SeenCopy(
            copy,
            destination(copy) if copy is not None else "",
            seen,
            frozenset().union(*found[:number], *found[number + 1 :]),
        )
        for number, (copy, seen) in enumerate(zip(known, observations.seen, strict=True))
    )


def copies_below(story: Story, step: ToldStep) -> list[ToldStep]:
    """The steps that copied a layer on which a step stands, the lowest first."""
    stage = next(stage for stage in story.stages if step in stage.steps)
    return _copies(story, stage, stage.steps[: stage.steps.index(step)])


def destination(copy: ToldStep) -> str:
    """Where a copy's files are, without slashes around."""
    parts = copy.key.parts if copy.key is not None else ()
    return next((part.value for part in parts if part.name == "destination"), "").strip("/")


def sights(one: SeenCopy) -> Iterator[Sight]:
    """What was seen of one layer, in the order of the paths; a path of which more was seen than that it is there is
    not told as being there."""
    looks = one.seen.looks
    told = {look.path for look in looks if look.kind != "entry"}
    above = {path[:place] for path in {look.path for look in looks} for place in _slashes(path)}
    for number, look in enumerate(looks):
        if look.kind != "entry":
            yield Sight(_shown(look, one.top), _SORTS[look.kind])
        elif not is_there(one.seen, number):
            missing = _is_inside(look.path, one.top) and look.path not in one.elsewhere
            yield Sight(_shown(look, one.top), "missing" if missing else "outside")
        elif look.path not in told:
            walked = look.path in above or not _is_inside(look.path, one.top) or look.path == one.top
            yield Sight(_shown(look, one.top), "walked" if walked else "looked")


def saw(story: Story, step: ToldStep) -> Saw | None:
    """What made an observed step run, joined with the change of files that a copy below it made; None for others."""
    look = next((cause.look for cause in step.causes if cause.look is not None), None)
    if look is None:
        return None
    copies = copies_below(story, step)
    for copy in copies:
        found = _change(copy, look)
        if found is not None:
            sight = Sight(_shown(look, destination(copy)), sort_of(look))
            return Saw(look, sight, found[0], found[1] != look.path)
    tops = [destination(copy) for copy in copies]
    top = max((top for top in tops if _is_inside(look.path, top)), key=len, default="")
    return Saw(look, Sight(_shown(look, top), sort_of(look)))


def is_there(seen: SeenLayer, number: int) -> bool:
    """Whether the path of a look, by its place among all, was found."""
    return seen.answers[number * ANSWER : (number + 1) * ANSWER] != NOT_THERE


def _found(seen: SeenLayer) -> Iterator[str]:
    return (look.path for number, look in enumerate(seen.looks) if look.kind == "entry" and is_there(seen, number))


def sort_of(look: Look) -> Sort:
    """What was done, as far as a look by itself tells."""
    return _SORTS.get(look.kind, "looked")


def _copies(story: Story, stage: ToldStage, steps: tuple[ToldStep, ...]) -> list[ToldStep]:
    own = [one for one in steps if one.key is not None and one.key.kind == "copy" and one.outcome != "failed"]
    if stage.base_outcome != "stage":
        return own
    base = next(one for one in story.stages if one.label.casefold() == stage.base.casefold())
    return [*_copies(story, base, base.steps), *own]


def _change(copy: ToldStep, look: Look) -> tuple[FileChange, str] | None:
    """The change of a copy's files that answers a look otherwise, the one that tells most, and its path in the
    layer."""
    top = destination(copy)
    for cause in own_causes(copy):
        for change in cause.files:
            for path in _landings(cause, change, top):
                moved = FileChange(path, change.kind, change.before, change.after)
                if altered([moved], "").breaks(look):
                    return change, path
    return None


def _landings(cause: MissCause, change: FileChange, top: str) -> Iterator[str]:
    """Where a changed file may lie in the layer: its path is told as it is in the build context."""
    folder = cause.part.partition(" ")[2].strip("/").removeprefix("./")
    path = change.path
    if folder in ("", "."):
        inside = path
    elif path.startswith(folder + "/"):
        inside = path[len(folder) + 1 :]
    else:
        inside = path.rpartition("/")[2]
    yield top if inside == "." else f"{top}/{inside}".strip("/")
    if path == folder:  # a single file may have got the destination's name
        yield top


def _slashes(path: str) -> Iterator[int]:
    place = path.find("/")
    while place >= 0:
        yield place
        place = path.find("/", place + 1)


def _is_inside(path: str, top: str) -> bool:
    if not top:
        return path not in _SYSTEM
    return path == top or path.startswith(top + "/")


def _shown(look: Look, top: str) -> str:
    if look.path == top:
        return f"/{top}" if look.kind == "read" else "."
    return look.path[len(top) :].lstrip("/") if top == "" or look.path.startswith(top + "/") else f"/{look.path}"
