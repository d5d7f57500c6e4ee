"""`lamina key`: one digest over all that goes into an image, without building it."""

from __future__ import annotations

import argparse

from lamina.cli import planned
from lamina.cli.habits import without_effect
from lamina.cli.options import Parser
from lamina.workshop.parsing import pairs


def configure(parser: Parser) -> None:
    parser.epilog = "`lamina build --reuse` takes the image that was built under this key before, if it is there."
    planned.configure(parser)
    # What a cache has or is told makes no difference to a key.
    for name in ("--no-cache", "--no-shared-cache", "--observe", "--no-observe"):
        without_effect(parser.add_argument, name)
    for name in ("--cache-from", "--no-cache-filter"):
        without_effect(parser.add_argument, name, value=True)
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="label of the image")


def run(arguments: argparse.Namespace) -> int:
    from lamina.api import key

    print(key(labels=pairs(arguments.label, "--label"), **planned.fields(arguments)))
    return 0
