"""`lamina inspect`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from lamina.cli.options import Parser, store_root
from lamina.cli.stored import add_platform, stored
from lamina.cli.wire import workshop


def configure(parser: Parser) -> None:
    add_platform(parser)
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="a name or the beginning of an ID")


def run(arguments: argparse.Namespace) -> int:
    """Prints a JSON list, one object an image: Id, RepoTags, Created and the image configuration's members."""
    found = []
    with workshop(store_root(arguments.root)) as shop:
        for text in arguments.image:
            image = stored(shop, text, arguments)
            config = msgspec.json.decode(shop.store.blobs.read(image.id))
            found.append({"Id": image.id, "RepoTags": image.names, "ManifestDigest": image.manifest, **config})
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    return 0
