"""`lamina images`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial

from msgspec import Struct

from lamina.cli.habits import switch, without_effect
from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.oci.config import decode_config
from lamina.oci.reference import parse_reference
from lamina.report.words import age, columns, size
from lamina.store.images import Image
from lamina.workshop.parsing import store_root
from lamina.workshop.wire import Workshop, workshop

_NONE = "<none>"
_HEAD = {"Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "CreatedSince": "CREATED"}
_COLUMNS = ("Repository", "Tag", "ID", "Platform", "CreatedSince", "Size")


def configure(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "name",
        nargs="?",
        metavar="NAME",
        help="only images of this name, with or without a tag; * and ? stand for more",
    )
    switch(add, "-q", "--quiet", help="print IDs alone")
    switch(add, "--no-trunc", help="print whole IDs")
    known = "dangling=true|false, reference=PATTERN"
    add("-f", "--filter", action="append", default=[], metavar="NAME=VALUE", help=f"only those that it fits: {known}")
    add(
        "--format",
        metavar="TEMPLATE",
        help="json, or {{.Repository}}:{{.Tag}} and the like, with `table` before it or not",
    )
    without_effect(add, "-a", "--all")  # there are no images in between


def run(arguments: argparse.Namespace) -> int:
    chosen = _Chosen.of(arguments)
    with workshop(store_root(arguments.root)) as shop:
        images = shop.store.images.list()
        found = [row for image in images for row in _rows(shop, image, arguments) if chosen.fits(row)]
    if arguments.quiet:
        lines = list(dict.fromkeys(row["ID"] for row in found))
    elif arguments.format:
        lines = _formatted(arguments.format, found)
    else:
        lines = columns([_heads(_COLUMNS), *([row[name] for name in _COLUMNS] for row in found)])
    if lines:
        print("\n".join(lines))
    return 0


class _Chosen(Struct, frozen=True):
    """Which images are listed: all patterns must fit. `dangling`: those without a name, or those with one."""

    references: tuple[str, ...]
    dangling: bool | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> _Chosen:
        """Raises BuildFailure `usage-bad-arguments`."""
        references = [arguments.name] if arguments.name else []
        dangling = None
        for text in arguments.filter:
            name, _, value = text.partition("=")
            if name == "reference" and value:
                references.append(value)
            elif name == "dangling" and value in ("true", "false", "1", "0"):
                dangling = value in ("true", "1")
            else:
                hint = "write dangling=true, dangling=false or reference=PATTERN"
                raise BuildFailure("usage-bad-arguments", f"--filter {text!r} is not known", hint=hint)
        return cls(tuple(references), dangling)

    def fits(self, row: Mapping[str, str]) -> bool:
        nameless = row["Repository"] == _NONE
        if self.dangling is not None and self.dangling != nameless:
            return False
        names = (row["Repository"], f"{row['Repository']}:{row['Tag']}")
        return not self.references or (
            not nameless and all(any(fnmatchcase(name, one) for name in names) for one in self.references)
        )


def _rows(shop: Workshop, image: Image, arguments: argparse.Namespace) -> list[dict[str, str]]:
    """An image under each of its names, by what Docker's templates call the columns."""
    created = datetime.fromtimestamp(image.created, UTC)
    facts = {
        "ID": _short(image.id, arguments.no_trunc),
        "Platform": image.platform,
        "CreatedSince": age(time.time() - image.created),
        "CreatedAt": f"{created:%Y-%m-%d %H:%M:%S %z} UTC",
        "Digest": image.manifest or _NONE,
        "Size": size(_size(shop, image)),
    }
    if not image.names:
        return [{"Repository": _NONE, "Tag": _NONE, **facts}]
    rows = []
    for name in image.names:
        reference = parse_reference(name)
        repository = reference.familiar().removesuffix(f"@{reference.digest}").removesuffix(f":{reference.tag}")
        rows.append({"Repository": repository, "Tag": reference.tag or _NONE, **facts})
    return rows


def _formatted(template: str, rows: Sequence[Mapping[str, str]]) -> list[str]:
    from lamina.cli.template import fields, render
    from lamina.report.jsontext import json_line

    if template == "json":
        return list(map(json_line, rows))
    if template == "table":
        return columns([_heads(_COLUMNS), *([row[name] for name in _COLUMNS] for row in rows)])
    if not template.startswith("table "):
        return [render(template, row) for row in rows]
    body = template.removeprefix("table ")
    lines = [render(body, row).split("\t") for row in rows]
    heads = _heads(fields(body))
    return (
        columns([heads, *lines])
        if all(len(line) == len(heads) for line in lines)
        else ["\t".join(heads), *map("\t".join, lines)]
    )


def _heads(names: Sequence[str]) -> list[str]:
    return [_HEAD.get(name, name.upper()) for name in names]


def _size(shop: Workshop, image: Image) -> int:
    """The bytes of the layers: see `layer_size`."""
    from lamina.engine.job import chains_of
    from lamina.workshop.layersource import layer_size

    config = decode_config(shop.store.blobs.read(image.id))
    return sum(map(partial(layer_size, shop), chains_of(config), config.rootfs.diff_ids))


def _short(digest: str, whole: bool) -> str:
    return digest if whole else digest.partition(":")[2][:12]
