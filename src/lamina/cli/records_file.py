"""The file of `lamina records`: builds with their stories, and the lists of files that those name.

One line with the format's number, then one zstd frame of items, each behind its length: a header, the builds, the
lists, an end. What is read may come from anybody: every length is bounded, every list must have the digest that names
it, and no build is taken from a file of which anything is wrong. `docs/formats/records.md` has it in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from math import isfinite
from typing import BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, parse_digest
from lamina.explain.against import lists_of
from lamina.explain.story import SCHEMA as STORIES
from lamina.explain.story import Story
from lamina.keys.filetree import FileRecord, tree_digest
from lamina.store.builds import Build
from lamina.store.codec import decode, encode

FORMAT = 1
_MAGIC = b"lamina records "
_LEVEL = 9
#: The most that is read: of one item, of all, and how many builds with how many steps.
ITEM, TOTAL, BUILDS, STEPS = 64 << 20, 512 << 20, 1000, 5000
_ID = re.compile(r"[0-9a-z]{6,64}\Z")
_LATEST = 1e11


class Header(Struct, frozen=True, tag="header"):
    """`who` is free text; `made` in seconds since the epoch; `stories` the number of the stories' schema; `lamina` the
    version that wrote it."""

    who: str
    made: float
    stories: int
    lamina: str


class Told(Struct, frozen=True, tag="build"):
    """A build with its story."""

    build: Build
    story: Story


class Listed(Struct, frozen=True, tag="list"):
    """A list of file records, by its tree digest."""

    digest: Digest
    records: tuple[FileRecord, ...]


class End(Struct, frozen=True, tag="end"):
    """The last item: the digest of all bytes before it (lengths included)."""

    digest: Digest


Item = Header | Told | Listed | End


def write(
    stream: BinaryIO,
    header: Header,
    builds: Sequence[tuple[Build, Story]],
    lists: Callable[[Digest], Sequence[FileRecord] | None],
) -> int:
    """Write a file; returns how many lists are in it. A list that is not kept any more, or is too long, is left out."""
    import zstandard

    stream.write(_MAGIC + b"%d\n" % FORMAT)
    state, written, total = sha256(), 0, 0
    with zstandard.ZstdCompressor(level=_LEVEL).stream_writer(stream, closefd=False) as packed:
        for item in _items(header, builds, lists):
            data = framed(item)
            if isinstance(item, Listed):
                if len(data) > ITEM or total + len(data) > TOTAL // 2:
                    continue
                written += 1
            packed.write(data)
            state.update(data)
            total += len(data)
        packed.write(framed(End(Digest("sha256:" + state.hexdigest()))))
    return written


def framed(item: Item) -> bytes:
    """An item behind its length."""
    data = encode(item)
    return len(data).to_bytes(4, "big") + data


def read(stream: BinaryIO, keep: Callable[[Digest, Sequence[FileRecord]], None]) -> tuple[Header, list[Told]]:
    """Verify a whole file. `keep` is given each list of files as it was verified; the builds, and what the header says,
    are the answer, if nothing was wrong to the end. Raises BuildFailure `store-records-version`,
    `store-records-damaged`."""
    _check_format(stream)
    items = _decoded(stream)
    header = next(items, None)
    if not isinstance(header, Header):
        raise damaged("it has no header")
    if header.stories != STORIES:
        raise _version(f"its stories are of schema {header.stories}", f"reads schema {STORIES}")
    told: list[Told] = []
    wanted: set[Digest] = set()
    ended = False
    for item in items:
        if ended:
            raise damaged("something follows its end")
        if isinstance(item, Told):
            told.append(_checked(item))
            wanted.update(lists_of(item.story))
        elif isinstance(item, Listed):
            if item.digest not in wanted:
                raise damaged(f"no build names the list {item.digest}")
            wanted.discard(item.digest)
            _check_list(item)
            keep(item.digest, item.records)
        elif isinstance(item, End):
            ended = True
        else:
            raise damaged("it has two headers")
        if len(told) > BUILDS or len({one.build.id for one in told}) != len(told):
            raise damaged("it has too many builds, or one twice")
    if not ended:
        raise damaged("its end is missing")
    return header, told


def damaged(cause: str) -> BuildFailure:
    """The error of a file that is not what it should be."""
    hint = "export it anew, and copy it as it is"
    return BuildFailure("store-records-damaged", "the records file is damaged", cause=cause, hint=hint)


def _items(
    header: Header, builds: Sequence[tuple[Build, Story]], lists: Callable[[Digest], Sequence[FileRecord] | None]
) -> Iterator[Item]:
    yield header
    wanted: dict[Digest, None] = {}
    for build, story in builds:
        wanted.update(dict.fromkeys(lists_of(story)))
        yield Told(build, story)
    for digest in wanted:
        records = lists(digest)
        if records is not None:
            yield Listed(digest, tuple(records))


def _check_format(stream: BinaryIO) -> None:
    line = stream.readline(64)
    number = line.removeprefix(_MAGIC).strip()
    if not line.startswith(_MAGIC) or not number.isdigit():
        raise damaged("it does not begin as one")
    if int(number) != FORMAT:
        raise _version(f"it has format {int(number)}", f"reads format {FORMAT}")


def _decoded(stream: BinaryIO) -> Iterator[Item]:
    """The items, one at a time; the last is checked against all before."""
    import zstandard

    total, state = 0, sha256()
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(stream, closefd=False) as unpacked:
            while head := _exactly(unpacked, 4, may_end=True):
                length = int.from_bytes(head, "big")
                total += length
                if length > ITEM or total > TOTAL:
                    raise damaged("it is larger than any that lamina writes")
                data = _exactly(unpacked, length)
                # A union is no `type[T]` for mypy; msgspec takes it.
                item: Item = decode(data, Item)  # type: ignore[arg-type]
                if isinstance(item, End) and item.digest != "sha256:" + state.hexdigest():
                    raise damaged("it is not what was written")
                state.update(head + data)
                yield item
    except (zstandard.ZstdError, ValueError, OSError) as error:
        raise damaged(str(error)) from None


def _exactly(stream: BinaryIO, length: int, *, may_end: bool = False) -> bytes:
    """So many bytes; in pieces, so that a length that lies takes no memory."""
    parts, left = [], length
    while left:
        part = stream.read(min(left, 1 << 20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    if left and not (may_end and left == length):
        raise ValueError("it ends too early")
    return b"".join(parts)


def _checked(told: Told) -> Told:
    """A build that nothing here can stumble over. Its lists are those of its story, its times are numbers."""
    build, story = told.build, told.story
    steps = story.steps()
    befores = [step.before for step in steps if step.before is not None]
    times = [build.started, build.seconds, *(before.created for before in befores)]
    times += [before.seconds for before in befores] + [each for step in steps for each in (step.seconds, step.saved)]
    if not all(isfinite(value) and 0 <= value < _LATEST for value in times):
        raise damaged("a time in it is none")
    if not _ID.match(build.id) or len(steps) > STEPS or story.schema != STORIES:
        raise damaged("a build in it is none")
    try:
        facts = tuple(map(parse_digest, lists_of(story)))
    except ValueError as error:
        raise damaged(str(error)) from None
    return Told(replace(build, facts=facts, log=None, project=build.project[:1000]), story)


def _check_list(item: Listed) -> None:
    for record in item.records:
        if "\0" in record.path or "\0" in record.target or not 0 <= record.mode <= 0o7777:
            raise damaged(f"the list {item.digest} is none")
    try:
        fits = item.digest in (tree_digest(item.records), tree_digest(item.records, owners=True))
    except ValueError as error:
        raise damaged(str(error)) from None
    if not fits:
        raise damaged(f"the list {item.digest} is another than its digest says")


def _version(told: str, known: str) -> BuildFailure:
    from lamina import __version__

    return BuildFailure(
        "store-records-version",
        f"the records file was written by another version of lamina: {told}, and lamina {__version__} {known}",
        hint="use the same version of lamina on both machines, and export anew",
    )
