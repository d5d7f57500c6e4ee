"""`lamina cache`: du, prune, limit, mounts, remote, verify."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.options import Parser
from lamina.report.words import age, columns, duration, size
from lamina.store.cachemounts import CacheMounts
from lamina.store.limit import parse_size, read_setting, write_setting
from lamina.workshop.parsing import seconds_of, store_root
from lamina.workshop.wire import Workshop, workshop

if TYPE_CHECKING:
    from lamina.store.gc import Pruned, Wanted
    from lamina.store.usage import StepUsage


def configure(parser: Parser) -> None:
    from lamina.cli import cache_remote, verify

    actions = parser.add_subparsers(
        dest="action", required=True, metavar="du|prune|limit|mounts|remote|verify", parser_class=Parser
    )
    du = actions.add_parser("du", help="what the store takes on the disk")
    du.add_argument("--records", action="store_true", help="also every cached step, the least valuable first")
    du.add_argument("--json", action="store_true", help="as JSON, sizes in bytes")
    prune = actions.add_parser("prune", help="delete what nothing needs, and cached steps as asked for")
    prune.add_argument("--older-than", metavar="AGE", help="also steps last used before AGE: 12h, 30d, 4w")
    prune.add_argument("--project", metavar="DIR", help="only steps of the build context DIR")
    prune.add_argument("--stage", metavar="NAME", help="only steps of stages of this name")
    prune.add_argument("--max-size", metavar="SIZE", help="of these steps only so many that the store is this small")
    prune.add_argument(
        "--by", choices=("value", "age"), default="value", help="which go first for --max-size (default: value)"
    )
    prune.add_argument("--cache-mounts", action="store_true", help="also cache mounts that no step uses now")
    prune.add_argument("-n", "--dry-run", action="store_true", help="only say what would be deleted")
    limit = actions.add_parser("limit", help="the most that the store may take")
    limit.add_argument("size", nargs="?", metavar="SIZE|auto|none", help="what is to hold from now on")
    mounts = actions.add_parser("mounts", help="the folders behind RUN --mount=type=cache")
    mounts.add_argument("--delete", action="store_true", help="delete those that no step uses now")
    mounts.add_argument("--older-than", metavar="AGE", help="only those last used before AGE: 12h, 30d, 4w")
    mounts.add_argument("--cache-mount-root", metavar="DIR", help="where they are, if not in the store")
    cache_remote.configure(actions.add_parser("remote", help="the same for a shared cache: du, prune"))
    verify.configure(actions.add_parser("verify", help="check every digest, or run cached steps again"))


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "remote":
        from lamina.cli import cache_remote

        return cache_remote.run(arguments)
    root = store_root(arguments.root)
    if arguments.action == "verify":
        from lamina.cli import verify

        return verify.run(arguments, root)
    with workshop(root, make_room=arguments.action == "prune") as shop:
        match arguments.action:
            case "du":
                return _du(shop, listing=arguments.records, as_json=arguments.json)
            case "prune":
                return _prune(shop, arguments)
            case "limit":
                return _limit(shop, arguments.size)
            case _:
                return _mounts(shop, arguments)


# --- du --------------------------------------------------------------------------------------------------------------
def _du(shop: Workshop, *, listing: bool, as_json: bool) -> int:
    from lamina.store.usage import steps, usage

    found = usage(shop.store)
    listed = steps(shop.store, time.time()) if listing else ()
    limit = read_setting(shop.store.layout)
    if as_json:
        _print_json(
            {
                "total": found.total,
                "limit": limit,
                "kinds": found.kinds,
                "layers": {"own": found.own, "shared": found.shared},
                "images": found.images,
                "records": found.records,
                "builds": found.builds,
                **({"steps": listed} if listing else {}),
            }
        )
        return 0
    table = [(kind.name, "" if kind.count is None else str(kind.count), size(kind.bytes)) for kind in found.kinds]
    print("\n".join(columns([("KIND", "COUNT", "SIZE"), *table, ("total", "", size(found.total))])))
    print(
        f"\n{found.images} images, {found.records} cached steps, {found.builds} builds; "
        f"{size(found.shared)} of the layers are shared by several"
    )
    print(f"limit: {limit if isinstance(limit, str) else size(limit)}")
    if listing:
        print("\n" + "\n".join(_step_lines(listed)))
    return 0


def _step_lines(steps: Sequence[StepUsage]) -> list[str]:
    now = time.time()
    rows = [
        (
            size(step.own),
            size(step.shared),
            duration(step.seconds),
            age(now - step.used),
            f"{step.value * 1e6 / max(1, step.own):.3g}s/MB",
            step.stage,
            step.project.partition(":")[0],
            step.text if len(step.text) <= 72 else step.text[:71] + "…",
        )
        for step in steps
    ]
    return columns([("SIZE", "SHARED", "TOOK", "LAST USED", "VALUE", "STAGE", "PROJECT", "STEP"), *rows])


def _print_json(value: object) -> None:
    from lamina.report.jsontext import json_page

    print(json_page(value))


# --- prune and limit -------------------------------------------------------------------------------------------------
def _prune(shop: Workshop, arguments: argparse.Namespace) -> int:
    from lamina.store.gc import prune

    wanted = _wanted(arguments)
    if not arguments.dry_run:
        _ = shop.rung  # as an ordinary user, files of other uids can only be deleted from inside the namespace
    gone = prune(shop.store, wanted, dry_run=arguments.dry_run)
    if arguments.dry_run and gone.steps:
        print("\n".join(_step_lines(gone.steps)) + "\n")
    print(f"{'would delete' if arguments.dry_run else 'deleted'} {_told(gone)}: {size(gone.bytes)}")
    if wanted.max_size is not None and gone.left > wanted.max_size:
        print(
            f"the store takes {size(gone.left)} then: the rest is in named images, in cache mounts and downloads, in "
            "the index, or was not asked for",
            file=sys.stderr,
        )
    return 0


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from lamina.store.gc import Wanted

    project = arguments.project
    if project is not None and (os.path.isdir(project) or ":" not in project):
        project = os.path.realpath(project)
    return Wanted(
        older_than=time.time() - seconds_of(arguments.older_than) if arguments.older_than else None,
        max_size=parse_size(arguments.max_size) if arguments.max_size else None,
        project=project,
        stage=arguments.stage,
        order=arguments.by,
        cache_mounts=arguments.cache_mounts,
    )


def _told(gone: Pruned) -> str:
    counts = {
        "images": gone.images,
        "cached steps": gone.records,
        "layers": gone.layers,
        "blobs": gone.blobs,
        "file lists": gone.facts,
        "builds": gone.builds,
        "downloads": gone.downloads,
        "cache mounts": gone.cache_mounts,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


def _limit(shop: Workshop, given: str | None) -> int:
    layout = shop.store.layout
    if given is not None:
        write_setting(layout, given if given in ("auto", "none") else parse_size(given))
    found = read_setting(layout)
    print(found if isinstance(found, str) else size(found))
    return 0


# --- mounts ----------------------------------------------------------------------------------------------------------
def _mounts(shop: Workshop, arguments: argparse.Namespace) -> int:
    given = arguments.cache_mount_root
    folders = CacheMounts(Path(given) if given else shop.store.layout.cache_mounts)
    now = time.time()
    before = now - seconds_of(arguments.older_than) if arguments.older_than else None
    if arguments.delete:
        _ = shop.rung  # as an ordinary user, files of other uids can only be deleted from inside the namespace
        gone = folders.delete(unused_since=before)
        print(f"deleted {len(gone)} cache mounts")
        return 0
    found = [each for each in folders.folders() if before is None or each.used < before]
    rows = [(each.name, age(now - each.used), size(each.size()), str(each.path)) for each in found]
    print("\n".join(columns([("NAME", "LAST USED", "SIZE", "FOLDER"), *rows])))
    return 0
