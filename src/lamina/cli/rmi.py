"""`lamina rmi`."""

from __future__ import annotations

import argparse
import sys

from lamina.cli.habits import switch, without_effect
from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    switch(parser.add_argument, "-f", "--force", help="an image that is not there is no failure")
    without_effect(parser.add_argument, "--no-prune")
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="a name, or an ID for all its names")


def run(arguments: argparse.Namespace) -> int:
    """Removes names. An image goes with its last name; its layers stay, for the cache, until `lamina cache prune`."""
    with workshop(store_root(arguments.root)) as shop:
        for text in arguments.image:
            try:
                image, gone = shop.store.images.untag(text)
            except BuildFailure as failure:
                if not arguments.force or failure.diagnostic.reference != "store-image-missing":
                    raise
                print(failure, file=sys.stderr)
                continue
            by_name = text.removeprefix("sha256:") not in image.id
            for name in [text] if by_name else image.names:
                print(f"Untagged: {name}")
            for each in gone:
                print(f"Deleted: {each}")
    return 0
