"""Writing the memos of a build or a plan that found everything cached; `unchanged` reads them.

Such a build writes two: what it said itself, and what a plan of the same would say, which is known as well. A plan
writes its own where it finds none.

Soundness. The memo is taken after the build, so it must be of the context that the build saw: another scan has to
equal the build's own, entry by entry and directory by directory, and everything must have been last changed two seconds
before the build began or earlier, so that no edit can hide within one tick of a clock. The same holds for the
Dockerfile and the ignore files, which are looked at before and after. In the store every cached step is looked up once
more and must give the same record, and the base images must be those that the build used.
"""

from __future__ import annotations

import argparse
import hashlib
import marshal
import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lamina.cli import unchanged
from lamina.context.identity import GRANULARITY_NS
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.digest import digest_of
from lamina.engine.job import chains_of
from lamina.engine.request import BuildResult
from lamina.explain.story import tell
from lamina.explain.table import rows, summary
from lamina.keys.decide import Hit
from lamina.keys.outcome import StageResult, StepResult
from lamina.plan.steps import CopyOp, GitSource, HttpSource, ImageRef
from lamina.ports.images import BaseImage
from lamina.report.table import summary_line, table_lines
from lamina.store.layout import base36
from lamina.workshop.config import NAME
from lamina.workshop.dockerfile_name import NAMES, dockerfile_in
from lamina.workshop.parsing import reference
from lamina.workshop.user_file import user_files
from lamina.workshop.wire import Workshop

if TYPE_CHECKING:
    from lamina.engine.forecast import Forecast

_WIDE = 1 << 20
_DONE = re.compile(r"^(#\d+ DONE) \d+\.\ds$", re.MULTILINE)
#: The times of files below these say nothing.
_UNREAL = ("/proc/", "/sys/", "/dev/")


class Memory(Struct, frozen=True):
    """A build or a plan about to begin. `key` is the memo's, `plan_key` that of the plans which foretell a build.
    `files` are the Dockerfile, the ignore files and the configuration with their identities (None: absent)."""

    root: str
    key: str
    plan_key: str | None
    context: str
    files: tuple[tuple[str, list[Any] | None], ...]
    tags: tuple[str, ...]
    began: int

    def note(self, shop: Workshop, context: DirectoryContext, result: BuildResult) -> None:
        """Write the memos if this build may have some. Never fails: without one the next build is only slower."""
        with suppress(OSError, sqlite3.Error, BuildFailure):
            facts = self._facts(shop, context, result.stages)
            stored = facts and _store_facts(shop, result.stages, result.images, result, self.tags)
            if facts and stored:
                self._write(self.key, {**facts, **stored, **_said(shop, result)})
                if self.plan_key is not None:
                    self._write(self.plan_key, {**facts, **stored, **_foretold(result.stages)})

    def note_plan(self, shop: Workshop, context: DirectoryContext, found: Forecast) -> None:
        """The same for a plan."""
        with suppress(OSError, sqlite3.Error, BuildFailure):
            facts = self._facts(shop, context, found.stages)
            stored = facts and _store_facts(shop, found.stages, found.images)
            if facts and stored:
                self._write(self.key, {**facts, **stored, **_foretold(found.stages)})

    def _facts(self, shop: Workshop, context: DirectoryContext, stages: Sequence[StageResult]) -> dict[str, Any] | None:
        """What must stay true of the context, None if something is to be done, or was changed too shortly before."""
        steps = [step for stage in stages for step in stage.steps]
        plain = all(map(_is_plain_hit, steps)) and all(stage.base != "fetched" for stage in stages)
        limit = self.began - GRANULARITY_NS
        if not plain or any(map(_reads_web, steps)) or not _are_old(self.files, limit):
            return None
        if any(unchanged.identity(path) != known for path, known in self.files):
            return None
        directory = os.path.realpath(self.context)
        visited = sorted(context.seen.visited) if context.seen is not None else []
        # First what ends at the first young file, so that a build soon after an edit does not pay for the rest.
        fingerprint = unchanged.fingerprint(directory, visited, limit)
        if fingerprint is None or not context.still(directory):
            return None
        return {
            "boot": unchanged.boot_id(),
            "format": unchanged.read_text(str(shop.store.layout.format)),
            "context": self.context,
            "directory": directory,
            "files": self.files,
            "visited": visited,
            "fingerprint": fingerprint,
        }

    def _write(self, key: str, memo: dict[str, Any]) -> None:
        _write(self.root, key, {"key": key, "written": time.time_ns(), **memo}, time.time())


def begin(arguments: argparse.Namespace, environment: Mapping[str, str], now: int) -> Memory | None:
    """Look at what a build is about to read; None if its command line does not qualify. `now` is the time, in
    nanoseconds since the epoch."""
    line = unchanged.qualify(arguments.words, environment)
    if line is None:
        return None
    own = [] if arguments.ca_certs in ("host", "none") else [arguments.ca_certs]
    files = _files(arguments, environment, own)
    if files is None:
        return None
    plan_key = unchanged.plan_key(arguments.words, environment)
    return Memory(line[1], line[0], plan_key, arguments.context, files, tuple(arguments.tag), now)


def begin_plan(arguments: argparse.Namespace, environment: Mapping[str, str], now: int) -> Memory | None:
    """The same for a plan."""
    line = unchanged.qualify_plan(arguments.words, environment)
    files = _files(arguments, environment) if line is not None else None
    if line is None or files is None:
        return None
    return Memory(line[1], line[0], None, arguments.context, files, (), now)


def _files(
    arguments: argparse.Namespace, environment: Mapping[str, str], more: Sequence[str] = ()
) -> tuple[tuple[str, list[Any] | None], ...] | None:
    """The files that a build reads beside the context's, as they are; also those that it would read rather."""
    folder = Path(arguments.context)
    dockerfile = Path(arguments.file) if arguments.file is not None else dockerfile_in(folder)
    own = dockerfile.with_name(dockerfile.name + ".dockerignore")
    usual = [folder / name for name in NAMES] if arguments.file is None else []
    paths = [dockerfile, own, folder / ".dockerignore", folder / NAME, *usual, *user_files(environment), *more]
    try:
        return tuple((path, unchanged.identity(path)) for path in dict.fromkeys(map(str, paths)))
    except OSError:
        return None


def _is_plain_hit(step: StepResult) -> bool:
    """Metadata, or found in the store by its definition: so the next build finds it, if nothing changes."""
    if step.outcome == "metadata":
        return True
    hit = step.decision
    return step.outcome == "cached" and isinstance(hit, Hit) and (hit.how, hit.origin) == ("definition", "store")


def _reads_web(step: StepResult) -> bool:
    """Whether a step reads what can change without a trace on this machine."""
    op = step.step.op
    return isinstance(op, CopyOp) and any(isinstance(source, HttpSource | GitSource) for source in op.sources)


def _are_old(files: Sequence[tuple[str, list[Any] | None]], limit: int) -> bool:
    """Whether these are regular files whose times can be believed, and that were last changed before `limit`."""
    return all(
        stat.S_ISREG(one[3]) and max(one[-2:]) < limit and not one[0].startswith(_UNREAL)
        for _, one in files
        if one is not None
    )


def _said(shop: Workshop, result: BuildResult) -> dict[str, Any]:
    """What a build printed, less its seconds. Raises OSError."""
    story = tell(result.stages)
    log = (shop.store.layout.logs / f"{result.build}.log").read_text("utf-8", "surrogateescape")
    return {
        "image": result.image_id,
        "progress": _DONE.sub(r"\1 0.0s", log).removesuffix("\n"),
        "table": table_lines(rows(story), width=_WIDE),
        "summary": summary_line(summary(story), 0.0),
    }


def _foretold(stages: Sequence[StageResult]) -> dict[str, Any]:
    """What a plan prints in which all is cached."""
    from lamina.cli.foretold import as_json, summed_up  # here, because most builds have other things to do
    from lamina.engine.forecast import Forecast

    found = Forecast(tuple(stages))
    return {"json": as_json(found), "table": table_lines(rows(tell(stages)), width=_WIDE), "told": summed_up(found)}


def _store_facts(
    shop: Workshop,
    stages: Sequence[StageResult],
    images: Mapping[ImageRef, BaseImage],
    result: BuildResult | None = None,
    tags: Sequence[str] = (),
) -> dict[str, Any] | None:
    """What must stay true of the store, None if some of it is not true any more. A build has a `result` that must
    stay there too, under these `tags`.

    The index is asked before the records are looked up once more: what another build adds in between shows at one of
    the two.
    """
    store = shop.store
    names = [str(reference(tag)) for tag in tags]
    records = [step.record for stage in stages for step in stage.steps if step.record is not None]
    bases = {(base.name, str(ref.platform)): base for ref, base in images.items()}
    blobs = {digest for base in bases.values() for digest in (base.digest, digest_of(base.config_raw))}
    results = {record.result for record in records if record.result is not None}
    own = [str(result.image_id)] if result is not None else []
    chains = chains_of(result.config) if result is not None else []
    with closing(sqlite3.connect(f"{store.layout.index.as_uri()}?mode=ro", uri=True)) as index:

        def ask(name: str, questions: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], list[list[Any]]]:
            return {question: unchanged.ask(index, name, question) for question in questions}

        asked = {
            "base": ask("base", bases),
            "tag": ask("tag", [(name,) for name in names]),
            "image": ask("image", [(image,) for image in own]),
            "blob": ask("blob", [(digest,) for digest in blobs.union(own)]),
            "records": ask(
                "records", [(key,) for record in records for key in (record.key.digest, record.content_key)]
            ),
            "snapshot": ask("snapshot", [(chain,) for chain in results.union(chains)]),
        }
    true = (
        all(
            found and (found[0][1] or found[0][0]) == bases[name, platform].digest
            for (name, platform), found in asked["base"].items()
        )
        and all(found == [[*own, str(result and result.config.platform)]] for found in asked["tag"].values())
        and all(asked["image"].values())
        and all(asked["blob"].values())
        and all(asked["snapshot"][chain,] for chain in results)
        and all(store.records.find(record.key.digest) == record for record in records)
    )
    if not true:
        return None
    return {
        "rows": [(name, *pair) for name, answers in asked.items() for pair in answers.items()],
        "blobs": [(digest.partition(":")[2], found[0][0]) for (digest,), found in asked["blob"].items()],
        # A base's own layers need not be there for a build that is cached; those that are must stay.
        "layers": sorted({base36(found[0][1]) for found in asked["snapshot"].values() if found}),
    }


def _write(root: str, key: str, memo: dict[str, Any], now: float) -> None:
    """Put a memo into place atomically and drop those that have grown too old. Raises OSError."""
    path = Path(unchanged.memo_path(root, key))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for old in path.parent.iterdir():
        if old.stat().st_mtime < now - unchanged.LIFETIME:
            old.unlink(missing_ok=True)
    data = marshal.dumps(memo)
    draft = path.with_name(f"{key}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
