"""`lamina cache verify`: everything is what its digest says; with `--steps`, cached steps come out the same again."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from msgspec import Struct
from msgspec.structs import replace

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure, exit_code
from lamina.digest import Digest
from lamina.workshop.parsing import host_platform
from lamina.workshop.wire import Workshop, workshop

if TYPE_CHECKING:
    from lamina.engine.request import BuildRequest
    from lamina.engine.rerun import Attempt
    from lamina.image.compare import Difference
    from lamina.keys.record import CacheRecord
    from lamina.store.fsck import Problem

#: Damage; and that a step is not repeatable, which is no failure of lamina's and so has no family of its own.
_DAMAGED = exit_code("store-index-damaged")
_DIFFERS = 1

#: How many differences of a step `--json` tells (the others are counted), and lines of a failed one's output.
_TOLD, _OUTPUT = 20, 5
#: An instruction is cut off at so many characters.
_WIDTH = 100


class Differences(Struct, frozen=True):
    """What differs between two runs of a step: the first ones by path, and how many there are."""

    first: tuple[Difference, ...]
    total: int


def configure(parser: Parser) -> None:
    parser.add_argument("--repair", action="store_true", help="discard what is damaged, mend the index")
    parser.add_argument(
        "--steps",
        nargs="?",
        const="",
        metavar="TEXT",
        help="instead, run cached RUN steps again (those with TEXT in the instruction) and compare their files",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, root: Path) -> int:
    """0 if all is well, 7 for damage, 1 if a step came out differently or failed."""
    if arguments.steps is not None:
        if arguments.repair:
            raise BuildFailure("usage-bad-arguments", "--steps changes nothing: leave --repair out")
        with workshop(root) as shop:
            return _steps(shop, arguments.steps, as_json=arguments.json)
    mended = _mend_index(root) if arguments.repair else None
    with workshop(root) as shop:
        return _verify(shop, repairing=arguments.repair, mended=mended, as_json=arguments.json)


# --- digests ---------------------------------------------------------------------------------------------------------
def _mend_index(root: Path) -> dict[str, int] | None:
    """Make the index anew out of what can be read of it, if it is damaged; what was saved of it then."""
    from lamina.store.fsck import is_sound
    from lamina.store.layout import open_layout
    from lamina.store.rebuild import rebuild_index

    try:
        with workshop(root) as shop:
            if is_sound(shop.store.index):
                return None
    except BuildFailure as failure:
        if failure.diagnostic.reference != "store-index-damaged":
            raise
    return rebuild_index(open_layout(root))


def _verify(shop: Workshop, *, repairing: bool, mended: dict[str, int] | None, as_json: bool) -> int:
    from lamina.image.diff import diff
    from lamina.store.fsck import check, repair

    namespace = shop.rung.xattr
    problems = check(shop.store, lambda layer: diff(layer, namespace).diff_id)
    if problems and repairing:
        repair(shop.store, problems)
    if as_json:
        _print_json({"problems": problems, "repaired": repairing, "index": mended})
    else:
        _tell(problems, repairing=repairing, mended=mended)
    return _DAMAGED if any(problem.serious for problem in problems) else 0


def _tell(problems: Sequence[Problem], *, repairing: bool, mended: dict[str, int] | None) -> None:
    if mended is not None:
        saved = ", ".join(f"{count} {table}" for table, count in mended.items())
        print(f"the index was damaged; saved of it: {saved}")
    for problem in problems:
        print(f"{problem.kind}: {problem.subject}: {problem.detail}")
    after = "discarded: built or fetched again when needed" if repairing else "`--repair` discards them"
    print(f"{len(problems)} found; {after}" if problems else "everything is what its digest says")


# --- steps -----------------------------------------------------------------------------------------------------------
def _steps(shop: Workshop, text: str, *, as_json: bool) -> int:
    from lamina.context.reader import DirectoryContext
    from lamina.engine.rerun import Verdict, newest, rerun

    records = newest((record for _, _, record in shop.store.records.all()), text)
    if not records and text:
        raise BuildFailure(
            "usage-no-such-step",
            f"no cached RUN has {text!r} in its instruction",
            hint="`lamina cache du --records` lists the cached steps",
        )
    request, tools = _surroundings(), shop.start()
    # No step that is tried reads a context: this one is never looked at.
    world = shop.world(DirectoryContext(shop.store.layout.tmp))
    tried: list[tuple[CacheRecord, Attempt[Differences]]] = []
    try:
        for record in records:
            again = replace(request, step_epoch=_epoch(shop, record))
            tried.append((record, rerun(record, again, world, tools, _comparing(shop))))
            if not as_json:
                print("\n".join(_lines(*tried[-1])), flush=True)
    except KeyboardInterrupt:
        tools.runner.stop()
        raise
    counts = {verdict: sum(each.verdict == verdict for _, each in tried) for verdict in get_args(Verdict)}
    if as_json:
        names = {verdict.replace(" ", "_"): count for verdict, count in counts.items()}
        _print_json({"steps": [_plain(*each) for each in tried], "counts": names})
    elif tried:
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        print(f"{len(tried)} step{'s' if len(tried) > 1 else ''}: {told}")
    else:
        print("no RUN is cached")
    return _DIFFERS if counts["differs"] or counts["failed"] else 0


def _surroundings() -> BuildRequest:
    """What a step is given besides what stands in its key: the caller's certificates and proxies."""
    from lamina.engine.request import BuildRequest
    from lamina.plan.args import PROXY_NAMES
    from lamina.plan.steps import PlanOptions
    from lamina.runtime.certificates import host_bundle, step_certificates

    bundle = host_bundle(os.environ)
    mount, environment = step_certificates(bundle) if bundle is not None else (None, {})
    platform = host_platform()
    proxies = {name: os.environ[name] for name in sorted(PROXY_NAMES) if name in os.environ}
    return BuildRequest(
        build="",
        dockerfile=b"",
        file="",
        project="",
        options=PlanOptions(platform, platform, build_args=proxies),
        run_mounts=(mount,) if mount is not None else (),
        run_env=environment,
    )


def _epoch(shop: Workshop, record: CacheRecord) -> int | None:
    """The SOURCE_DATE_EPOCH of the build that ran a step, as far as its image tells it."""
    from datetime import datetime

    from lamina.oci.config import decode_config

    build = shop.store.builds.get(record.build)
    if build is None or build.image is None:
        return None
    try:
        created = decode_config(shop.store.blobs.read(Digest(build.image))).created
        return None if created is None else int(datetime.fromisoformat(created).timestamp())
    except (BuildFailure, ValueError):
        return None


def _comparing(shop: Workshop) -> Callable[[Path, Path], Differences | None]:
    from lamina.image.compare import compare

    def compared(before: Path, after: Path) -> Differences | None:
        first: list[Difference] = []
        total = 0
        for difference in compare(before, after, shop.rung.xattr):
            total += 1
            if total <= _TOLD:
                first.append(difference)
        return Differences(tuple(first), total) if total else None

    return compared


# --- telling ---------------------------------------------------------------------------------------------------------
def _lines(record: CacheRecord, attempt: Attempt[Differences]) -> list[str]:
    """One line, and below it what cures it, or what a failed step wrote last."""
    from lamina.report.differences import cure_lines, difference_phrase

    text = " ".join(record.text.split())
    text = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
    if attempt.found is None:
        why = f" ({attempt.why})" if attempt.why else ""
        return [f"{attempt.verdict}{why}: {text}", *(f"  {line}" for line in attempt.output[-_OUTPUT:])]
    first = attempt.found.first[0]
    more = f", and {attempt.found.total - 1} more" if attempt.found.total > 1 else ""
    lines = [f"differs in {first.path} ({difference_phrase(first)}{more}): {text}"]
    return [*lines, *cure_lines(first)]


def _plain(record: CacheRecord, attempt: Attempt[Differences]) -> dict[str, object]:
    """One step of `--json`."""
    from lamina.report.differences import plain_difference

    found = attempt.found or Differences((), 0)
    return {
        "text": record.text,
        "project": record.project,
        "address": record.address,
        "verdict": attempt.verdict,
        "why": attempt.why,
        "output": attempt.output,
        "total": found.total,
        "differences": [plain_difference(each) for each in found.first],
    }


def _print_json(value: object) -> None:
    from lamina.report.jsontext import json_page

    print(json_page(value))
