"""`lamina cache`: du, prune, mounts, verify."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from lamina.cli.options import Parser, store_root
from lamina.cli.wire import Workshop, workshop
from lamina.diagnostics import BuildFailure
from lamina.report.words import size
from lamina.store.cachemounts import CacheMounts

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?\Z", re.IGNORECASE)
_AGE = re.compile(r"(\d+)([smhdw])\Z")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def configure(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="du|prune|mounts|verify", parser_class=Parser)
    actions.add_parser("du", help="what the store holds, in bytes")
    prune = actions.add_parser("prune", help="delete what nothing needs, and cached steps by age or size")
    prune.add_argument("--older-than", metavar="AGE", help="also steps last used before AGE: 12h, 30d, 4w")
    prune.add_argument("--max-size", metavar="SIZE", help="also the longest unused steps until the store is this small")
    prune.add_argument("-n", "--dry-run", action="store_true", help="only say what would be deleted")
    mounts = actions.add_parser("mounts", help="the folders behind RUN --mount=type=cache")
    mounts.add_argument("--delete", action="store_true", help="delete those that no step uses now")
    mounts.add_argument("--older-than", metavar="AGE", help="only those last used before AGE: 12h, 30d, 4w")
    mounts.add_argument("--cache-mount-root", metavar="DIR", help="where they are, if not in the store")
    verify = actions.add_parser("verify", help="check every digest")
    verify.add_argument("--repair", action="store_true", help="discard what is damaged, mend the index")


def run(arguments: argparse.Namespace) -> int:
    root = store_root(arguments.root)
    if arguments.action == "verify" and arguments.repair:
        _mend_index(root)
    with workshop(root, make_room=arguments.action == "prune") as shop:
        match arguments.action:
            case "du":
                return _du(shop)
            case "prune":
                return _prune(shop, arguments)
            case "mounts":
                return _mounts(shop, arguments)
            case _:
                return _verify(shop, repairing=arguments.repair)


def _du(shop: Workshop) -> int:
    from lamina.store.gc import usage

    found = usage(shop.store)
    print(f"images   {found.images:>8}")
    print(f"records  {found.records:>8}")
    print(f"layers   {found.layers:>8}  {size(found.layer_bytes):>8}")
    print(f"blobs    {found.blobs:>8}  {size(found.blob_bytes):>8}")
    print(f"facts              {size(found.facts_bytes):>8}")
    print(f"downloads          {size(found.download_bytes):>8}")
    print(f"cache mounts       {size(found.cache_mount_bytes):>8}")
    print(f"total              {size(found.total):>8}")
    return 0


def _prune(shop: Workshop, arguments: argparse.Namespace) -> int:
    from lamina.store.gc import prune

    older = time.time() - _age(arguments.older_than) if arguments.older_than else None
    limit = _bytes(arguments.max_size) if arguments.max_size else None
    if not arguments.dry_run:
        _ = shop.rung  # as an ordinary user, files of other uids can only be deleted from inside the namespace
    gone = prune(shop.store, older_than=older, max_size=limit, dry_run=arguments.dry_run)
    verb = "would delete" if arguments.dry_run else "deleted"
    print(
        f"{verb} {gone.images} images, {gone.records} cached steps, {gone.layers} layers, {gone.blobs} blobs, "
        f"{gone.downloads} downloads: {size(gone.bytes)}"
    )
    return 0


def _mounts(shop: Workshop, arguments: argparse.Namespace) -> int:
    from lamina.report.words import age, columns

    given = arguments.cache_mount_root
    folders = CacheMounts(Path(given) if given else shop.store.layout.cache_mounts)
    now = time.time()
    before = now - _age(arguments.older_than) if arguments.older_than else None
    if arguments.delete:
        _ = shop.rung  # as an ordinary user, files of other uids can only be deleted from inside the namespace
        gone = folders.delete(unused_since=before)
        print(f"deleted {len(gone)} cache mounts")
        return 0
    found = [each for each in folders.folders() if before is None or each.used < before]
    rows = [(each.name, age(now - each.used), size(each.size()), str(each.path)) for each in found]
    print("\n".join(columns([("NAME", "LAST USED", "SIZE", "FOLDER"), *rows])))
    return 0


def _mend_index(root: Path) -> None:
    """Make the index anew out of what can be read of it, if it cannot be opened."""
    try:
        with workshop(root):
            return
    except BuildFailure as failure:
        if failure.diagnostic.reference != "store-index-damaged":
            raise
    from lamina.store.layout import open_layout
    from lamina.store.rebuild import rebuild_index

    saved = rebuild_index(open_layout(root))
    print("the index was damaged; saved of it: " + ", ".join(f"{count} {table}" for table, count in saved.items()))


def _verify(shop: Workshop, *, repairing: bool) -> int:
    from lamina.image.diff import diff
    from lamina.store.fsck import check, repair

    namespace = shop.rung.xattr
    problems = check(shop.store, lambda layer: diff(layer, namespace).diff_id)
    for problem in problems:
        print(f"{problem.kind}: {problem.subject}: {problem.detail}")
    if problems and repairing:
        repair(shop.store, problems)
    after = "discarded: built or fetched again when needed" if repairing else "`--repair` discards them"
    print(f"{len(problems)} found; {after}" if problems else "everything is what its digest says")
    return 7 if any(problem.serious for problem in problems) else 0


def _age(text: str) -> float:
    found = _AGE.match(text)
    if not found:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is not an age", hint="write 12h, 30d or 4w")
    return int(found[1]) * _SECONDS[found[2]]


def _bytes(text: str) -> int:
    found = _SIZE.match(text)
    if not found:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is not a size", hint="write 500MB or 10GB")
    return int(float(found[1]) * 1000 ** _POWERS[found[2].lower()])
