"""The least that a COPY must copy for an observed step: the files that it looked at and the directories it listed.
Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from lamina.explain.against import Lists
from lamina.explain.observed import SeenCopy, destination, is_there, seen_copies
from lamina.explain.story import Story, ToldStep
from lamina.keys.filetree import FileRecord
from lamina.keys.looks import Look, Observations, SeenLayer
from lamina.keys.record import KeyPart

#: More than so many sources or lines are no advice to anybody.
_SOURCES, _LINES = 6, 3
#: Names that mean themselves in a Dockerfile.
_PLAIN = re.compile(r"[\w.@+/][\w.@+/-]*")
_FLAG = "--"
#: Flags that change which files are copied, or where they land.
_OTHERWISE = ("--parents", "--exclude")


class Needed(Struct, frozen=True):
    """What a step needs of what a COPY copies: `paths` as the COPY names them, `lines` the instructions that copy them
    and nothing else (none if it looked at nothing). They hold `looked` of its `files` regular files."""

    lines: tuple[str, ...]
    paths: tuple[str, ...]
    looked: int
    files: int

    def has(self, path: str) -> bool:
        """Whether a path is needed, by itself or in a directory."""
        return any(path == one or path.startswith(one + "/") for one in self.paths)


#: What a step needs of a copy above it; None if that is not known, cannot be written, or is all of it.
Needs = Callable[[ToldStep, ToldStep], Needed | None]


def unknown(step: ToldStep, copy: ToldStep) -> Needed | None:
    """`Needs` of a build whose steps were not observed."""
    return None


def needed(story: Story, step: ToldStep, copy: ToldStep, observations: Observations, lists: Lists) -> Needed | None:
    """See `Needs`."""
    found = (one for one in seen_copies(story, step, observations) if one.copy == copy)
    seen = next(found, None)
    return needed_of(seen, lists) if seen is not None else None


def needed_of(one: SeenCopy, lists: Lists) -> Needed | None:
    """What is needed of one copied layer."""
    words = one.copy.text.split() if one.copy is not None else []
    if one.copy is None or len(words) < 3 or any(word.startswith(_OTHERWISE) for word in words):
        return None
    copied = _copied(one.copy, lists)
    if copied is None:
        return None
    wanted = _wanted(one.seen, one.top, copied)
    if wanted is None:
        return None
    whole = [path for path in wanted if copied[path][1].kind == "dir"]
    single = [path for path in wanted if path not in whole]
    files = sum(record.kind == "file" for _, record in copied.values())
    looked = sum(
        record.kind == "file" and (path in single or _is_below(path, whole)) for path, (_, record) in copied.items()
    )
    sources = [copied[path][0] for path in (*single, *whole)]
    if looked >= files or len(sources) > _SOURCES or not all(map(_PLAIN.fullmatch, (*sources, words[-1]))):
        return None
    flags = "".join(f"{word} " for word in words[1:] if word.startswith(_FLAG))
    lines = tuple(_lines(f"{words[0].upper()} {flags}", words[-1], one.top, single, whole, copied))
    return Needed(lines, tuple(sources), looked, files) if len(lines) <= _LINES else None


def _wanted(seen: SeenLayer, top: str, copied: Mapping[str, tuple[str, FileRecord]]) -> list[str] | None:
    """The layer's paths that must be there for the same answers, without those in directories that are needed whole;
    None if that cannot be said by paths."""
    above = {path[: match.start()] for path in {look.path for look in seen.looks} for match in re.finditer("/", path)}
    wanted: dict[str, None] = {}
    whole: list[str] = []
    for number, look in enumerate(seen.looks):
        # Looks are sorted, so that a directory comes before what is in it.
        if not is_there(seen, number) or _leads_to(look, top) or _is_below(look.path, whole):
            continue
        if look.path not in copied or look.path == top or len(wanted) > _SOURCES:
            return None
        kind = copied[look.path][1].kind
        if kind == "dir" and look.kind != "list" and look.path in above:
            continue  # on the way to others
        if kind not in ("dir", "file"):
            return None  # COPY follows a link that it is given by name
        if kind == "dir":
            whole.append(look.path)
        wanted[look.path] = None
    return list(wanted)


def _leads_to(look: Look, top: str) -> bool:
    """Whether a look tells no more than that the destination is there, and what lies beside it."""
    if look.path == top:
        return look.kind == "entry"
    return top.startswith(look.path + "/") or not look.path


def _copied(copy: ToldStep, lists: Lists) -> dict[str, tuple[str, FileRecord]] | None:
    """What a copy copies: path in the layer → path as the instruction would name it, and the record."""
    top = destination(copy)
    parts = copy.key.parts if copy.key is not None else ()
    if any(part.value and part.name.partition(" ")[0] in ("unpack", "tree", "parents") for part in parts):
        return None
    beside = f"{top}/" if top else ""
    copied: dict[str, tuple[str, FileRecord]] = {}
    for part in parts:
        if part.files is None:
            continue
        source, records = _source(part), lists(part.files)
        if records is None or source is None:
            return None
        folder = f"{source}/" if source else ""
        if any(record.path == "." for record in records):
            for record in records:
                if record.path != ".":
                    copied[beside + record.path] = (folder + record.path, record)
                else:
                    copied[top] = (source, record)
        elif len(records) == 1:
            copied[beside + records[0].path] = (source, records[0])
    return copied


def _source(part: KeyPart) -> str | None:
    """A source as a path without slashes at its end; None for patterns, addresses and text."""
    source = part.name.partition(" ")[2]
    if re.search(r"[*?\[<:]", source):
        return None
    plain = source.removeprefix("./").strip("/")
    return "" if plain == "." else plain


def _lines(
    begin: str,
    target: str,
    top: str,
    single: list[str],
    whole: list[str],
    copied: Mapping[str, tuple[str, FileRecord]],
) -> Iterator[str]:
    base = "./" if target in (".", "./") else f"{target.rstrip('/')}/"
    folders: dict[str, list[str]] = {}
    for path in single:
        folders.setdefault(path.rpartition("/")[0], []).append(copied[path][0])
    for folder, sources in folders.items():
        inside = folder[len(top) :].strip("/")
        yield f"{begin}{' '.join(sources)} {base}{inside}{'/' if inside else ''}"
    for path in whole:
        yield f"{begin}{copied[path][0]} {base}{path[len(top) :].strip('/')}/"


def _is_below(path: str, folders: list[str]) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)
