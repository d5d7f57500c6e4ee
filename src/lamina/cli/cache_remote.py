"""`lamina cache remote`: what a shared cache takes, and clearing it away."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.cli.options import Parser
from lamina.report.words import age, columns, size
from lamina.workshop.parsing import seconds_of

if TYPE_CHECKING:
    from lamina.registry.cachestore import CacheStore
    from lamina.sharing.survey import Survey

_WRITER_LENGTH = 40


def configure(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="remote_action", required=True, metavar="du|prune", parser_class=Parser)
    place = "the shared cache, as for --cache-to: type=registry,ref=… or the repository alone, type=local,dest=…, …"
    du = actions.add_parser("du", help="what a shared cache holds, and who wrote it")
    prune = actions.add_parser("prune", help="remove what nothing names, and entries as asked for")
    for each in (du, prune):
        each.add_argument("place", metavar="PLACE", help=place)
        each.add_argument("--json", action="store_true", help="as JSON, sizes in bytes")
    add = prune.add_argument
    add("--max-size", "--keep-storage", metavar="SIZE", help="the oldest, until so much is left: 500MB, 10GB")
    add("--max-age", "--older-than", metavar="AGE", help="those last written or used before AGE: 12h, 30d, 4w")
    add("-n", "--dry-run", action="store_true", help="only say what would be removed")


def run(arguments: argparse.Namespace) -> int:
    from lamina.sharing.places import open_place, parse_place
    from lamina.workshop.registries import make_session

    place, timeout = parse_place(arguments.place)
    store = open_place(place, timeout, make_session(os.environ, __version__))
    return _du(store, arguments.json) if arguments.remote_action == "du" else _prune(store, arguments)


def _du(store: CacheStore, as_json: bool) -> int:
    from lamina.sharing.survey import survey

    found = survey(store)
    told, now = _told(found), time.time()
    if as_json:
        _print_json({"place": store.title, **told})
        return 0
    rows = [("steps", str(told["steps"])), ("documents", str(told["documents"])), ("size", size(told["bytes"]))]
    if told["loose"] is not None:
        rows.append(("unnamed blobs", f"{told['loose']['blobs']}, {size(told['loose']['bytes'])}"))
    rows += [(name, age(now - told[name])) for name in ("oldest", "newest") if told[name] is not None]
    print("\n".join(columns(rows)))
    if told["writers"]:
        table = [
            (one["writer"], str(one["steps"]), size(one["bytes"]), age(now - one["newest"])) for one in told["writers"]
        ]
        print("\n" + "\n".join(columns([("WRITER", "STEPS", "SIZE", "LAST WROTE"), *table])))
    return 0


def _told(found: Survey) -> dict[str, Any]:
    """The figures, shaped as in docs/formats/shared-cache.md."""
    documents = tuple(found.documents.values())
    steps = {
        (step.name, step.result, step.writer): step for known in documents if not known.is_note for step in known.steps
    }
    writers: dict[str, dict[str, Any]] = {}
    blobs: dict[str, set[str]] = {}
    for step in steps.values():
        name = _shown(step.writer)
        one = writers.setdefault(name, {"writer": name, "steps": 0, "bytes": 0, "newest": 0.0})
        seen = blobs.setdefault(name, set())
        one["steps"] += 1
        one["bytes"] += sum(found.size_of(*blob) for blob in step.blobs.items() if blob[0] not in seen)
        one["newest"] = max(one["newest"], step.written)
        seen.update(step.blobs)
    named = {digest for known in documents for digest in known.blobs}
    loose = [blob for digest, blob in found.blobs.items() if digest not in named]
    used = [known.used for known in documents if known.used]
    return {
        "documents": len(documents),
        "steps": len({key[:2] for key in steps}),
        "foreign": sum(known.foreign for known in documents),
        "blobs": len(named),
        "bytes": found.bytes_of(documents) + sum(blob.size for blob in loose),
        "loose": None if found.collects else {"blobs": len(loose), "bytes": sum(blob.size for blob in loose)},
        "oldest": min(used, default=None),
        "newest": max(used, default=None),
        "writers": sorted(writers.values(), key=lambda one: (-one["bytes"], one["writer"])),
    }


def _prune(store: CacheStore, arguments: argparse.Namespace) -> int:
    from lamina.sharing.places import Limits
    from lamina.sharing.prune import prune
    from lamina.store.limit import parse_size

    limits = Limits(
        parse_size(arguments.max_size) if arguments.max_size else None,
        seconds_of(arguments.max_age) if arguments.max_age else None,
    )
    gone = prune(store, limits, dry_run=arguments.dry_run)
    if arguments.json:
        _print_json({"place": store.title, "dry_run": arguments.dry_run, "removed": gone})
        return 0
    counts = {"steps": gone.steps, "documents": gone.documents, "blobs": gone.blobs}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"
    verb = "would remove" if arguments.dry_run else "removed"
    print(f"{verb} {told}: {size(gone.bytes)}; {size(gone.left)} left")
    if gone.collects and gone.documents and not arguments.dry_run:
        print("the registry frees their blobs when it collects its garbage", file=sys.stderr)
    if gone.foreign:
        told = "documents of another version of lamina are there: blobs that nothing names stay"
        print(f"{gone.foreign} {told}", file=sys.stderr)
    if limits.max_size is not None and gone.left > limits.max_size:
        print("the rest is younger than an hour", file=sys.stderr)
    return 0


def _shown(writer: str) -> str:
    """Somebody else's words, fit for a terminal."""
    text = "".join(char if char.isprintable() else "?" for char in writer)
    return text if len(text) <= _WRITER_LENGTH else f"{text[: _WRITER_LENGTH - 1]}…"


def _print_json(value: object) -> None:
    from lamina.report.jsontext import json_page

    print(json_page(value))
