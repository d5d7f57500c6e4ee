"""`lamina load`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from lamina.cli.options import Parser
from lamina.workshop.parsing import platform, store_root
from lamina.workshop.receiving import load_archive
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    parser.add_argument(
        "-i", "--input", default="-", metavar="FILE", help="archive or layout (default: standard input)"
    )
    parser.add_argument("--platform", metavar="OS/ARCH", help="the platform to take (default: this machine's)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def run(arguments: argparse.Namespace) -> int:
    with workshop(store_root(arguments.root)) as shop:
        path, shown = Path(arguments.input), arguments.input
        if arguments.input == "-":
            path, shown = shop.store.session.fresh(), "standard input"
            with path.open("wb") as spool:
                shutil.copyfileobj(sys.stdin.buffer, spool, 1 << 20)
        for image_id, names in load_archive(shop, path, platform(arguments.platform), shown):
            if not arguments.quiet:
                print(f"Loaded image: {', '.join(names) or image_id}")
    return 0
