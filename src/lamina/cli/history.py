"""`lamina history`."""

from __future__ import annotations

import argparse

from lamina.cli.habits import switch, without_effect
from lamina.cli.options import Parser
from lamina.cli.stored import add_platform, stored
from lamina.engine.job import chains_of
from lamina.oci.config import decode_config
from lamina.report.words import columns, size
from lamina.workshop.layersource import layer_size
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    add_platform(parser)
    parser.add_argument("image", metavar="IMAGE", help="a name or the beginning of an ID")
    switch(parser.add_argument, "--no-trunc", help="print whole instructions")
    without_effect(parser.add_argument, "-H", "--human")


def run(arguments: argparse.Namespace) -> int:
    """Prints one line an instruction, the newest first, as `docker history` does."""
    with workshop(store_root(arguments.root)) as shop:
        config = decode_config(shop.store.blobs.read(stored(shop, arguments.image, arguments).id))
        layers = zip(chains_of(config), config.rootfs.diff_ids, strict=True)
        rows = []
        for entry in config.history:
            taken = 0 if entry.empty_layer else layer_size(shop, *next(layers))
            text = " ".join(entry.created_by.split())
            shown = text if arguments.no_trunc or len(text) <= 72 else text[:71] + "…"
            rows.append(((entry.created or "")[:19], size(taken), shown))
    print("\n".join(columns([("CREATED", "SIZE", "CREATED BY"), *reversed(rows)])))
    return 0
