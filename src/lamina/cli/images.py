"""`lamina images`."""

from __future__ import annotations

import argparse
import time

from lamina.cli.options import Parser, store_root
from lamina.cli.wire import Workshop, workshop
from lamina.oci.config import decode_config
from lamina.oci.reference import parse_reference
from lamina.report.words import age, columns, size
from lamina.store.images import Image


def configure(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print IDs alone")
    parser.add_argument("--no-trunc", action="store_true", help="print whole IDs")


def run(arguments: argparse.Namespace) -> int:
    with workshop(store_root(arguments.root)) as shop:
        images = shop.store.images.list()
        if arguments.quiet:
            for image in images:
                print(_short(image.id, arguments.no_trunc))
            return 0
        table = [("REPOSITORY", "TAG", "IMAGE ID", "PLATFORM", "CREATED", "SIZE")]
        for image in images:
            table += _rows(shop, image, arguments.no_trunc)
    print("\n".join(columns(table)))
    return 0


def _rows(shop: Workshop, image: Image, whole: bool) -> list[tuple[str, str, str, str, str, str]]:
    when = age(time.time() - image.created)
    facts = (_short(image.id, whole), image.platform, when, size(_size(shop, image)))
    if not image.names:
        return [("<none>", "<none>", *facts)]
    rows = []
    for name in image.names:
        reference = parse_reference(name)
        tag = reference.tag or "<none>"
        repository = reference.familiar().removesuffix(f"@{reference.digest}").removesuffix(f":{reference.tag}")
        rows.append((repository, tag, *facts))
    return rows


def _size(shop: Workshop, image: Image) -> int:
    """The bytes of the layers that are in the store; 0 for those that were never fetched."""
    from lamina.engine.job import chains_of

    config = decode_config(shop.store.blobs.read(image.id))
    found = (shop.store.snapshots.get(chain) for chain in chains_of(config))
    return sum(snapshot.size for snapshot in found if snapshot is not None)


def _short(digest: str, whole: bool) -> str:
    return digest if whole else digest.partition(":")[2][:12]
