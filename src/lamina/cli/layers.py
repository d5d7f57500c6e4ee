"""`lamina layers`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from lamina.cli.options import Parser
from lamina.cli.stored import add_platform, stored
from lamina.diagnostics import BuildFailure
from lamina.engine.job import chains_of
from lamina.explain.layers import compared, excesses, survey
from lamina.explain.layersteps import Layer, layers_of
from lamina.explain.layertree import Node, tree
from lamina.oci.changes import PathChanges
from lamina.oci.config import ImageConfig, decode_config
from lamina.store.images import Image
from lamina.store.limit import parse_size
from lamina.workshop.chosen import story_of
from lamina.workshop.layersource import layers_of as fetched_layers
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import Workshop, workshop

_DEPTH, _DEEPEST = 3, 200


class Subject(Struct, frozen=True):
    """An image at hand: `paths` are the directories of its `layers`, lowest first."""

    name: str
    image: Image
    layers: tuple[Layer, ...]
    paths: tuple[Path, ...]

    @property
    def base(self) -> int:
        """How many of the layers are the base image's; the lowest is taken for it where that is not known."""
        return sum(layer.base for layer in self.layers) or 1


def configure(parser: Parser) -> None:
    add_platform(parser)
    add = parser.add_argument
    add("image", metavar="IMAGE", help="a name or the beginning of an ID")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--tree", nargs="?", const="/", metavar="PATH", help="the files below PATH (default: all)")
    kinds.add_argument("--against", metavar="IMAGE2", help="how IMAGE differs from IMAGE2")
    kinds.add_argument("--tui", action="store_true", help="look around in the layers and their files")
    add("--layer", type=int, metavar="N", help="with --tree: only what layer N does, counted from 1")
    add("--depth", type=int, metavar="N", help=f"with --tree: so many levels (default: {_DEPTH})")
    add("--all", action="store_true", help="cut nothing short")
    add("--max-size", metavar="SIZE", help="exit with 1 if the layers have more bytes")
    add("--max-waste", metavar="SIZE|PERCENT", help="exit with 1 if more is shipped that nobody can see")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints the layers, or what was asked for instead; returns 1 if the image is over a limit."""
    limits = _limits(arguments)
    with workshop(store_root(arguments.root)) as shop:
        subject = _subject(shop, arguments.image, arguments)
        if arguments.against:
            return _against(shop, subject, arguments)
        if arguments.tree is not None:
            top, told = _tree(shop, subject, arguments)
            return _print_tree(top, told, arguments)
        if not arguments.tui:
            return _survey(shop, subject, arguments, *limits)
        paths = list(inventory_of(shop, subject))
    return _explore(subject, paths)  # whoever looks around for an hour holds no store for it


def _limits(arguments: argparse.Namespace) -> tuple[int | None, int | float | None]:
    if arguments.tree is None and (arguments.layer is not None or arguments.depth is not None):
        raise BuildFailure("usage-bad-arguments", "--layer and --depth say how much --tree shows", hint="add --tree")
    if arguments.depth is not None and not 1 <= arguments.depth <= _DEEPEST:
        raise BuildFailure("usage-bad-arguments", f"--depth wants a number from 1 to {_DEEPEST}")
    if arguments.tui and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BuildFailure("usage-no-terminal", "--tui needs a terminal", hint="--tree shows the files anywhere")
    wants = arguments.max_size is not None or arguments.max_waste is not None
    if wants and (arguments.tree is not None or arguments.against or arguments.tui):
        raise BuildFailure("usage-bad-arguments", "--max-size and --max-waste judge the layers as such")
    size = parse_size(arguments.max_size) if arguments.max_size is not None else None
    return size, _waste(arguments.max_waste) if arguments.max_waste is not None else None


def _waste(text: str) -> int | float:
    """Bytes, or a share from 0 to 1. Raises BuildFailure `usage-bad-arguments`."""
    if not text.strip().endswith("%"):
        return parse_size(text)
    try:
        share = float(text.strip()[:-1]) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BuildFailure("usage-bad-arguments", f"{text!r} is no share of a size", hint="write 5% or 20MB")
    return share


def _subject(shop: Workshop, name: str, arguments: argparse.Namespace) -> Subject:
    image = stored(shop, name, arguments)
    fetched_layers(shop, image.id)  # fetched if they never were
    return subject_of(shop, name, image)


def subject_of(shop: Workshop, name: str, image: Image) -> Subject:
    """An image whose layers are in the store. Raises BuildFailure `store-snapshot-missing` if one is not."""
    config = decode_config(shop.store.blobs.read(image.id))
    paths = []
    for chain in chains_of(config):
        snapshot = shop.store.snapshots.get(chain)
        if snapshot is None:
            raise BuildFailure("store-snapshot-missing", f"a layer of {name} went meanwhile", hint="try again")
        paths.append(snapshot.layer)
    build = shop.store.builds.by_image(image.id)
    story = story_of(shop, build) if build is not None else None
    return Subject(name, image, layers_of(config, story, _compressed(shop, image, config)), tuple(paths))


def _compressed(shop: Workshop, image: Image, config: ImageConfig) -> list[int | None]:
    """The bytes of the layers' blobs: those of the image's manifest, or else the smallest that the store has."""
    entry = shop.catalog.entry(image)
    if entry is not None and len(entry.layers) == len(config.rootfs.diff_ids):
        return [None if layer.media_type.endswith("tar") else layer.size for layer in entry.layers]
    found = [shop.store.layer_blobs.all(diff_id) for diff_id in config.rootfs.diff_ids]
    packed = [[blob.size for name, blob in blobs.items() if name != "uncompressed"] for blobs in found]
    return [min(sizes) if sizes else None for sizes in packed]


def inventory_of(shop: Workshop, subject: Subject) -> Iterator[PathChanges]:
    """What each layer does to each path."""
    from lamina.image.inventory import inventory

    return inventory(subject.paths, shop.rung.xattr)


def _survey(
    shop: Workshop, subject: Subject, arguments: argparse.Namespace, size: int | None, waste: int | float | None
) -> int:
    found = survey(subject.layers, inventory_of(shop, subject))
    over = excesses(subject.layers, found, size, waste)
    image = subject.image
    if arguments.json:
        from lamina.report.layers_json import document, dumped

        print(dumped(document(image.id, image.names, image.platform, subject.layers, found, over)))
        return 1 if over else 0
    from lamina.report import layers as words

    print(words.heading(subject.name, image.platform, subject.layers, found))
    if size is None and waste is None:
        print("\n".join(words.layer_lines(subject.layers, found, whole=arguments.all)), end="\n\n")
        print("\n".join(words.waste_lines(subject.layers, found, whole=arguments.all)))
    sys.stdout.flush()
    for one in over:
        print(words.excess_line(subject.layers, one), file=sys.stderr)
    return 1 if over else 0


def _tree(shop: Workshop, subject: Subject, arguments: argparse.Namespace) -> tuple[Node, str]:
    """The node that was asked for, and its path."""
    layer = None if arguments.layer is None else arguments.layer - 1
    if layer is not None and not 0 <= layer < len(subject.layers):
        hint = f"it has {len(subject.layers)}, counted from 1"
        raise BuildFailure("usage-bad-arguments", f"{subject.name} has no layer {arguments.layer}", hint=hint)
    top = "/".join(part for part in arguments.tree.split("/") if part not in ("", "."))
    depth = _depth(arguments)
    root = tree(inventory_of(shop, subject), layer=layer, base=subject.base, top=top, depth=depth)
    found = root.find(top)
    if found is None:
        what = subject.name if layer is None else f"layer {arguments.layer} of {subject.name}"
        raise BuildFailure("usage-path-missing", f"{what} has nothing at /{top}", hint="links are not followed")
    return found, f"/{top}"


def _print_tree(top: Node, path: str, arguments: argparse.Namespace) -> int:
    if arguments.json:
        from lamina.report.layers_json import branch, dumped

        print(dumped(branch(top, path, _depth(arguments))))
    else:
        from lamina.report.layers import tree_lines

        print("\n".join(tree_lines(top, path, depth=_depth(arguments), whole=arguments.all)))
    return 0


def _depth(arguments: argparse.Namespace) -> int:
    return arguments.depth if arguments.depth is not None else _DEPTH


def _against(shop: Workshop, subject: Subject, arguments: argparse.Namespace) -> int:
    """IMAGE is what is now, IMAGE2 what was."""
    from lamina.image.inventory_final import final_changes

    other = _subject(shop, arguments.against, arguments)
    changes = final_changes(other.paths, subject.paths, shop.rung.xattr)
    found = compared(other.layers, subject.layers, changes)
    sides = (other.layers, subject.layers)
    if arguments.json:
        from lamina.report.layers_json import comparison, dumped

        print(dumped(comparison((other.image.id, subject.image.id), sides, found)))
    else:
        from lamina.report.layers import compared_lines

        print("\n".join(compared_lines((other.name, subject.name), sides, found, whole=arguments.all)))
    return 0


def _explore(subject: Subject, paths: list[PathChanges]) -> int:
    try:
        from lamina.cli.layers_tui import explore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        hint = "pip install 'lamina[tui]'; without it, --tree shows the files"
        raise BuildFailure("usage-no-textual", "--tui needs the library textual", hint=hint) from None
    explore(subject.name, subject.layers, survey(subject.layers, paths), paths, subject.base)
    return 0
