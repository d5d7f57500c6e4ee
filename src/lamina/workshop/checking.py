"""The facts that a check needs: the Dockerfile, its context, what the store knows of its base images."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.dockerfile import parse
from lamina.dockerfile.source import printable
from lamina.lint.check import Choice, check, mended, unknown_rules
from lamina.lint.rule import Finding
from lamina.lint.subject import Context, Junk, Subject, Taken
from lamina.lint.survey import survey
from lamina.lint.table import RULES
from lamina.oci.config import ImageConfig
from lamina.oci.platform import Platform
from lamina.workshop.dockerfile_name import dockerfile_in
from lamina.workshop.parsing import store_root

if TYPE_CHECKING:
    from lamina.dockerfile.ignore import IgnoreRules
    from lamina.explain.readings import Reading
    from lamina.keys.filetree import FileRecord
    from lamina.plan.named import Reader

#: What is mended may let another fix through, such as one beside it; no file needs many rounds.
_ROUNDS = 10
#: Planning takes time, and no file that people write has so many targets.
_TARGETS = 30
#: No manifest has so many bytes.
_LONGEST = 1 << 20


class Source(Struct, frozen=True):
    """A Dockerfile's bytes, its name for messages, its path if it has one, and its context's directory if one is to be
    looked at."""

    text: bytes
    name: str
    path: Path | None = None
    directory: Path | None = None

    def lines(self) -> list[str]:
        """Its lines as they are shown."""
        text = printable(self.text.decode("utf-8", "surrogateescape")).removeprefix("\ufeff")
        return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


class Examined(Struct, frozen=True):
    """What was found. `failure` is what makes the file unfit for a build, if anything does."""

    source: Source
    findings: tuple[Finding, ...]
    failure: BuildFailure | None = None


def chosen(skip: Collection[str], enable: Collection[str]) -> Choice:
    """Which rules run. Raises BuildFailure for a name that no rule has."""
    choice = Choice(frozenset(skip), frozenset(enable))
    unknown = unknown_rules(sorted(choice.skip | choice.enable), RULES)
    if unknown is not None:
        raise unknown
    return choice


def source_of(context: str | None, file: str | None) -> Source:
    """What a command line names. Raises BuildFailure `dockerfile-…`, `context-not-found`."""
    directory: Path | None = None
    if context is not None and file is None and Path(context).is_file():
        context, file = None, context
    elif context is not None or file is None:
        directory = Path(context or ".")
        if not directory.is_dir():
            raise BuildFailure("context-not-found", f"the build context {str(directory)!r} does not exist")
    if file == "-":
        return Source(sys.stdin.buffer.read(), "<stdin>", None, directory)
    path = Path(file) if file is not None else dockerfile_in(directory or Path())
    try:
        return Source(path.read_bytes(), str(path), path, directory)
    except FileNotFoundError:
        hint = "name it with -f, or pass the directory that holds it"
        raise BuildFailure("dockerfile-not-found", f"there is no {path}", hint=hint) from None
    except OSError as error:
        raise BuildFailure("dockerfile-unreadable", f"{path} cannot be read", cause=error.strerror) from None


def examine(
    source: Source,
    platform: Platform,
    choice: Choice,
    build_args: Mapping[str, str],
    root: str | os.PathLike[str] | None,
) -> Examined:
    """Check a file with all that can be known about it.

    Raises BuildFailure `dockerfile-…` if it cannot be parsed, `context-…` for an unusable context or ignore file.
    """
    dockerfile = parse(source.text, source.name)
    subject = survey(dockerfile, platform, build_args=build_args)
    context, failure = _context(source, subject, build_args)
    subject = replace(subject, context=context)
    images = _known(subject, root)
    if images:
        subject = survey(dockerfile, platform, build_args=build_args, context=context, images=images)
    return Examined(source, check(subject, RULES, choice).findings, failure)


def mend(source: Source, platform: Platform, choice: Choice) -> tuple[Source, list[str]]:
    """The source with all fixes made that its findings offer, and the difference as lines. Writes nothing.

    Raises BuildFailure `dockerfile-…` if it cannot be parsed.
    """
    text = source.text.decode("utf-8", "surrogateescape")
    before = text
    dockerfile = parse(source.text, source.name)
    for _ in range(_ROUNDS):
        found = check(survey(dockerfile, platform), RULES, choice).findings
        new, done = mended(text, [one for one in found if one.edits])
        if not done or new == text:
            break
        dockerfile = parse(new.encode("utf-8", "surrogateescape"), source.name)
        text = new
    if text == before:
        return source, []
    from difflib import unified_diff

    old, lines = (printable(one).splitlines() for one in (before, text))
    diff = unified_diff(old, lines, source.name, source.name, lineterm="")
    return replace(source, text=text.encode("utf-8", "surrogateescape")), list(diff)


def _context(
    source: Source, subject: Subject, build_args: Mapping[str, str]
) -> tuple[Context | None, BuildFailure | None]:
    """What the instructions take from the context, and why the file cannot be built if it cannot.

    The stages are planned that no other one uses, from the last up, which plans the others too.
    """
    from lamina.explain.readings import readings
    from lamina.plan.steps import PlanOptions

    found = None
    if source.directory is not None:
        from lamina.context.inspect import look

        found = look(source.directory, source.path, whole=False)
    records = found.kept.records if found is not None else ()
    options = PlanOptions(
        platform=subject.platform,
        build_platform=subject.platform,
        build_args=dict(build_args),
        allow=frozenset({"security.insecure", "network.host"}),
    )
    used = {index for stage in subject.stages for index in stage.uses}
    targets = [str(stage.index) for stage in reversed(subject.stages) if stage.index not in used]
    reads: dict[tuple[int, int], Reading] = {}
    failure = None
    try:
        for target in targets[:_TARGETS] or [""]:
            one_target = replace(options, target=target)
            for reading in readings(subject.dockerfile, one_target, records):
                reads.setdefault((reading.span.line, reading.span.column), reading)
    except BuildFailure as error:
        failure = error
    if found is None:
        return None, failure
    context = context_of(records, found.rules, tuple(reads.values()))
    assert source.directory is not None
    return replace(context, read=_reader(source.directory, records)), failure


def _reader(directory: Path, records: Sequence[FileRecord]) -> Reader:
    """Gives the text of a regular file of the context, unless it is too large for a manifest."""
    sizes = {record.path: record.size for record in records if record.kind == "file"}

    def read(path: str) -> str | None:
        if sizes.get(path, _LONGEST) >= _LONGEST:
            return None
        try:
            return (directory / path).read_text("utf-8", "replace")
        except OSError:
            return None

    return read


def context_of(records: Sequence[FileRecord], rules: IgnoreRules | None, reads: Sequence[Reading]) -> Context:
    """What rules see of a context, from its records and what each instruction reads of them."""
    from lamina.explain.junk import suggestions

    wanted = [path for one in reads for path in one.named]
    taken = []
    for one in reads:
        if one.keyword in ("COPY", "ADD"):
            junk = tuple(
                Junk(each.pattern, each.files, each.size, each.example, each.reason)
                for each in suggestions(one.entries, rules, wanted)
            )
            taken.append(Taken(one.span.line, one.entries, "" in one.named, junk))
    return Context(tuple(records), rules, tuple(taken))


def _known(subject: Subject, root: str | os.PathLike[str] | None) -> dict[str, ImageConfig]:
    wanted = {stage.base for stage in subject.stages if stage.parent is None and stage.base != "scratch"}
    return known_images(wanted, subject.platform, store_root(root))


def known_images(wanted: Collection[str], platform: Platform, place: Path) -> dict[str, ImageConfig]:
    """The configurations of those images that the store has; a store that is not there is not made."""
    if not wanted or not (place / "index.db").exists():
        return {}
    from lamina.oci.config import decode_config
    from lamina.store.store import Store

    found: dict[str, ImageConfig] = {}
    try:
        with Store.open(place) as store:
            for name in wanted:
                image = store.images.get(name, str(platform)) or store.images.get(name)
                if image is not None:
                    found[name] = decode_config(store.blobs.read(image.id))
    except (BuildFailure, ValueError):
        # A store that is damaged or of another version is no reason not to read a text.
        return found
    return found
