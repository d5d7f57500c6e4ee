"""`lamina export`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.cli.stored import add_platform, stored
from lamina.workshop.annotations import Annotations
from lamina.workshop.outputs import Output, export
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    add_platform(parser)
    parser.add_argument("image", metavar="IMAGE", help="a name or the beginning of an ID")
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help="the tar (default: standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Writes an image's files, all layers together, as one tar."""
    with workshop(store_root(arguments.root)) as shop:
        image = stored(shop, arguments.image, arguments)
        export(shop, [image.id], (), Output("tar", arguments.output), Annotations())
    return 0
