"""`lamina history`."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser, store_root
from lamina.cli.stored import add_platform, stored
from lamina.cli.wire import workshop
from lamina.engine.job import chains_of
from lamina.oci.config import decode_config
from lamina.report.words import columns, size


def configure(parser: Parser) -> None:
    add_platform(parser)
    parser.add_argument("image", metavar="IMAGE", help="a name or the beginning of an ID")
    parser.add_argument("--no-trunc", action="store_true", help="print whole instructions")


def run(arguments: argparse.Namespace) -> int:
    """Prints one line an instruction, the newest first, as `docker history` does."""
    with workshop(store_root(arguments.root)) as shop:
        config = decode_config(shop.store.blobs.read(stored(shop, arguments.image, arguments).id))
        chains = iter(chains_of(config))
        rows = []
        for entry in config.history:
            snapshot = None if entry.empty_layer else shop.store.snapshots.get(next(chains))
            text = " ".join(entry.created_by.split())
            shown = text if arguments.no_trunc or len(text) <= 72 else text[:71] + "…"
            rows.append(((entry.created or "")[:19], size(snapshot.size) if snapshot else "0B", shown))
    print("\n".join(columns([("CREATED", "SIZE", "CREATED BY"), *reversed(rows)])))
    return 0
