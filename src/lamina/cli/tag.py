"""`lamina tag`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    parser.add_argument("source", metavar="IMAGE", help="a name or the beginning of an ID")
    parser.add_argument("name", metavar="NAME", help="the new name")


def run(arguments: argparse.Namespace) -> int:
    with workshop(store_root(arguments.root)) as shop:
        shop.store.images.tag(arguments.source, arguments.name)
    return 0
