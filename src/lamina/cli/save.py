"""`lamina save`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.cli.stored import add_platform, stored
from lamina.workshop.outputs import Output, save
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    add_platform(parser)
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="a name or the beginning of an ID")
    parser.add_argument("-o", "--output", default="-", metavar="FILE", help="the archive (default: standard output)")
    parser.add_argument("--format", default="docker", choices=("docker", "oci"), help="for docker load, or OCI layout")
    parser.add_argument("--compression", default="gzip", choices=("gzip", "zstd", "uncompressed"), help="of new blobs")


def run(arguments: argparse.Namespace) -> int:
    output = Output(arguments.format, arguments.output, compression=arguments.compression)
    with workshop(store_root(arguments.root)) as shop:
        found = [stored(shop, text, arguments) for text in arguments.image]
        save(shop, [(image.id, image.names) for image in found], output)
    return 0
