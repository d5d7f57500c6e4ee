"""`lamina pull`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.cli.progress import opened
from lamina.engine.narrator import Narrator
from lamina.workshop.parsing import platform, reference, store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, with a tag or a digest")
    parser.add_argument("--platform", metavar="OS/ARCH", help="the platform to fetch (default: this machine's)")
    parser.add_argument("--progress", default="auto", choices=("auto", "tty", "plain", "rawjson"), help="how to report")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the digest alone")


def run(arguments: argparse.Namespace) -> int:
    """Fetches an image, whose layers are unpacked when they are needed; prints the digest of its manifest."""
    name = reference(arguments.image)
    with opened(arguments.progress, quiet=arguments.quiet) as reporter, workshop(store_root(arguments.root)) as shop:
        narrator = Narrator(reporter)
        with narrator.job(f"load metadata for {name}"):
            image = shop.images.look(name, platform(arguments.platform))
        with narrator.job(f"pull {name}@{image.digest}") as vertex:
            shop.images.fetch(image, narrator.progress(vertex))
            shop.images.keep(image, name)  # last, so that a name is never without its layers
    print(image.digest)
    return 0
