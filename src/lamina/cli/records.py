"""`lamina records`: take a build's story to another machine, so that `lamina explain --against` can compare them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.workshop import chosen
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import Workshop, workshop
from lamina.workshop.written import written

_WHAT = (
    "What is written: each step with its decision, times and the named inputs of its key, and the lists of the files "
    "that went in (paths, modes, digests). No secret, no file's content, no layer: an import makes no step cached."
)
_LONGEST_NAME = 200


def configure(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="export|import", parser_class=Parser)
    export = actions.add_parser("export", help="write builds with their explanations to one file", epilog=_WHAT)
    export.add_argument(
        "builds",
        nargs="*",
        metavar="BUILD|IMAGE",
        help="a build's id, or an image that it made (default: the last build)",
    )
    export.add_argument("-o", "--output", default="-", metavar="FILE", help="where to (default: standard output)")
    export.add_argument("--name", metavar="TEXT", help='who it is from, such as "CI run 17" (default: the date)')
    read = actions.add_parser("import", help="add the builds of a file to this store", epilog=_WHAT)
    read.add_argument("file", metavar="FILE", help="what `lamina records export` wrote (- = standard input)")


def run(arguments: argparse.Namespace) -> int:
    with workshop(store_root(arguments.root)) as shop:
        if arguments.action == "export":
            return _export(shop, arguments)
        return _import(shop, arguments.file)


def _export(shop: Workshop, arguments: argparse.Namespace) -> int:
    from lamina import __version__
    from lamina.cli.records_file import Header, write
    from lamina.explain.story import SCHEMA
    from lamina.report.explain_builds import project_name

    picked = [chosen.named(shop, word) for word in arguments.builds] or [chosen.last(shop)]
    builds = {}
    for found in picked:
        if found.story is None:
            raise BuildFailure(
                "store-build-untold",
                f"nothing is known of what build {found.build.id} did, so there is nothing to export",
                hint="it ended before its first step, or another version of lamina made it",
            )
        build = replace(found.build, project=project_name(found.build.project), log=None, origin="")
        builds[build.id] = (build, found.story)
    now = time.time()
    who = arguments.name or f"the export of {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC"
    header = Header(who[:_LONGEST_NAME], now, SCHEMA, __version__)
    with written(arguments.output, "records") as stream:
        lists = write(stream, header, tuple(builds.values()), shop.store.facts.get)
    told = ", ".join(builds)
    print(f"exported {told} with {lists} list{'s' if lists != 1 else ''} of files", file=sys.stderr)
    return 0


def _import(shop: Workshop, file: str) -> int:
    from lamina.cli.records_file import read
    from lamina.report.context import visible
    from lamina.report.explain_builds import project_name

    with _source(file) as stream:
        header, builds = read(stream, shop.store.facts.put)
    known = {build.id: build for build in shop.store.builds.newest()}
    for one in builds:
        if one.build.id in known:
            print(f"{one.build.id} is in this store already")
            continue
        origin = (header.who or "elsewhere")[:_LONGEST_NAME]
        shop.store.builds.add(replace(one.build, origin=origin), one.story)
        name = visible(project_name(one.build.project))
        print(f"imported {one.build.id} of {name} from {visible(origin)}: `lamina explain --against {one.build.id}`")
    return 0


@contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as held:
        try:
            stream = held.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise BuildFailure("usage-records-file", f"{file} cannot be read", cause=error.strerror) from None
        yield stream
