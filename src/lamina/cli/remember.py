"""Writing the memo of a build that found everything cached; `unchanged` reads it.

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
from typing import Any

from msgspec import Struct

from lamina.cli import unchanged
from lamina.cli.config import NAME
from lamina.cli.options import reference
from lamina.cli.wire import Workshop
from lamina.context.identity import GRANULARITY_NS
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.digest import digest_of
from lamina.engine.job import chains_of
from lamina.engine.request import BuildResult
from lamina.explain.story import tell
from lamina.explain.table import rows, summary
from lamina.keys.decide import Hit
from lamina.keys.outcome import StepResult
from lamina.plan.steps import CopyOp, GitSource, HttpSource
from lamina.report.table import summary_line, table_lines
from lamina.store.layout import base36

_WIDE = 1 << 20
_DONE = re.compile(r"^(#\d+ DONE) \d+\.\ds$", re.MULTILINE)
#: The times of files below these say nothing.
_UNREAL = ("/proc/", "/sys/", "/dev/")


class Memory(Struct, frozen=True):
    """A build about to begin. `files` are the Dockerfile and the ignore files with their identities (None: absent)."""

    root: str
    key: str
    context: str
    files: tuple[tuple[str, list[Any] | None], ...]
    tags: tuple[str, ...]
    began: int

    def note(self, shop: Workshop, context: DirectoryContext, result: BuildResult) -> None:
        """Write the memo if this build may have one. Never fails: without it the next build is only slower."""
        with suppress(OSError, sqlite3.Error, BuildFailure):
            steps = [step for stage in result.stages for step in stage.steps]
            if all(map(_is_plain_hit, steps)) and not any(map(_reads_web, steps)):
                memo = self._memo(shop, context, result)
                if memo is not None:
                    _write(self.root, self.key, memo, time.time())

    def _memo(self, shop: Workshop, context: DirectoryContext, result: BuildResult) -> dict[str, Any] | None:
        limit = self.began - GRANULARITY_NS
        if not _are_old(self.files, limit) or any(unchanged.identity(path) != known for path, known in self.files):
            return None
        directory = os.path.realpath(self.context)
        visited = sorted(context.seen.visited) if context.seen is not None else []
        # First what ends at the first young file, so that a build soon after an edit does not pay for the rest.
        fingerprint = unchanged.fingerprint(directory, visited, limit)
        if fingerprint is None or not context.still(directory):
            return None
        store = _store_facts(shop, result, self.tags)
        if store is None:
            return None
        story = tell(result.stages)
        log = (shop.store.layout.logs / f"{result.build}.log").read_text("utf-8", "surrogateescape")
        return {
            "key": self.key,
            "written": time.time_ns(),
            "boot": unchanged.boot_id(),
            "format": unchanged.read_text(str(shop.store.layout.format)),
            "context": self.context,
            "directory": directory,
            "files": self.files,
            "visited": visited,
            "fingerprint": fingerprint,
            **store,
            "image": result.image_id,
            "progress": _DONE.sub(r"\1 0.0s", log).removesuffix("\n"),
            "table": table_lines(rows(story), width=_WIDE),
            "summary": summary_line(summary(story), 0.0),
        }


def begin(arguments: argparse.Namespace, environment: Mapping[str, str], now: int) -> Memory | None:
    """Look at what a build is about to read; None if its command line does not qualify. `now` is the time, in
    nanoseconds since the epoch."""
    line = unchanged.qualify(arguments.words, environment)
    if line is None:
        return None
    dockerfile = Path(arguments.file) if arguments.file is not None else Path(arguments.context) / "Dockerfile"
    own = dockerfile.with_name(dockerfile.name + ".dockerignore")
    paths = [str(dockerfile), str(own), *(str(Path(arguments.context) / name) for name in (".dockerignore", NAME))]
    if arguments.ca_certs not in ("host", "none"):
        paths.append(arguments.ca_certs)
    try:
        files = tuple((path, unchanged.identity(path)) for path in paths)
    except OSError:
        return None
    key, root, _ = line
    return Memory(root, key, arguments.context, files, tuple(arguments.tag), now)


def _is_plain_hit(step: StepResult) -> bool:
    """Metadata, or found by its definition: so the next build finds it, if nothing changes."""
    if step.outcome == "metadata":
        return True
    return step.outcome == "cached" and isinstance(step.decision, Hit) and step.decision.how == "definition"


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


def _store_facts(shop: Workshop, result: BuildResult, tags: Sequence[str]) -> dict[str, Any] | None:
    """What must stay true of the store, None if some of it is not true any more.

    The index is asked before the records are looked up once more: what another build adds in between shows at one of
    the two.
    """
    store, image = shop.store, str(result.image_id)
    names = [str(reference(tag)) for tag in tags]
    records = [step.record for stage in result.stages for step in stage.steps if step.record is not None]
    bases = {(base.name, str(ref.platform)): base for ref, base in result.images.items()}
    blobs = {image, *(digest for base in bases.values() for digest in (base.digest, digest_of(base.config_raw)))}
    results = {record.result for record in records if record.result is not None}
    with closing(sqlite3.connect(f"{store.layout.index.as_uri()}?mode=ro", uri=True)) as index:

        def ask(name: str, questions: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], list[list[Any]]]:
            return {question: unchanged.ask(index, name, question) for question in questions}

        asked = {
            "base": ask("base", bases),
            "tag": ask("tag", [(name,) for name in names]),
            "image": ask("image", [(image,)]),
            "blob": ask("blob", [(digest,) for digest in blobs]),
            "records": ask(
                "records", [(key,) for record in records for key in (record.key.digest, record.content_key)]
            ),
            "snapshot": ask("snapshot", [(chain,) for chain in results.union(chains_of(result.config))]),
        }
    true = (
        all(
            found and (found[0][1] or found[0][0]) == bases[name, platform].digest
            for (name, platform), found in asked["base"].items()
        )
        and all(found == [[image, str(result.config.platform)]] for found in asked["tag"].values())
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
