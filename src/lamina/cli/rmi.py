"""`lamina rmi`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser, store_root
from lamina.cli.wire import workshop


def configure(parser: Parser) -> None:
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="a name, or an ID for all its names")


def run(arguments: argparse.Namespace) -> int:
    """Removes names. An image goes with its last name; its layers stay, for the cache, until `lamina cache prune`."""
    with workshop(store_root(arguments.root)) as shop:
        for text in arguments.image:
            image, gone = shop.store.images.untag(text)
            by_name = text.removeprefix("sha256:") not in image.id
            for name in [text] if by_name else image.names:
                print(f"Untagged: {name}")
            for each in gone:
                print(f"Deleted: {each}")
    return 0
