"""`lamina inspect`."""

from __future__ import annotations

import argparse
import sys

import msgspec

from lamina.cli.options import Parser
from lamina.cli.stored import add_platform, stored
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    add_platform(parser)
    form = 'print this of each: {{.Config.Env}}, {{json .Config}}, {{index .Config.Labels "key"}}'
    parser.add_argument("-f", "--format", metavar="TEMPLATE", help=form)
    parser.add_argument("--type", choices=("image",), help=argparse.SUPPRESS)
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="a name or the beginning of an ID")


def run(arguments: argparse.Namespace) -> int:
    """Prints a JSON list, one object an image: Id, RepoTags, ManifestDigest and the image configuration's members; or
    with --format a line an image."""
    found = []
    with workshop(store_root(arguments.root)) as shop:
        for text in arguments.image:
            image = stored(shop, text, arguments)
            config = msgspec.json.decode(shop.store.blobs.read(image.id))
            found.append({"Id": image.id, "RepoTags": image.names, "ManifestDigest": image.manifest, **config})
    if arguments.format and arguments.format != "json":
        from lamina.cli.template import render

        for one in found:
            # `RootFS.Layers` is what Docker calls the diff IDs.
            layers = {"Type": "layers", "Layers": one.get("rootfs", {}).get("diff_ids")}
            print(render(arguments.format, {**one, "RootFS": layers}))
        return 0
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    return 0
