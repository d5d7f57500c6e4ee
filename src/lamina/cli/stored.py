"""Which image of the store a command means: a name may hold one for each of several platforms."""

from __future__ import annotations

import argparse

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.store.images import Image
from lamina.workshop.parsing import host_platform, platform
from lamina.workshop.wire import Workshop


def add_platform(parser: Parser) -> None:
    """The option that `stored` reads."""
    parser.add_argument("--platform", metavar="OS/ARCH", help="which image of the name (default: this machine's)")


def stored(shop: Workshop, text: str, arguments: argparse.Namespace) -> Image:
    """The image of a name or ID, for `--platform`; by default this machine's, or else what the name was given last.

    Raises BuildFailure `store-image-missing`, `store-image-ambiguous`, `usage-platform`.
    """
    images = shop.store.images
    if not arguments.platform:
        return images.get(text, str(host_platform())) or images.resolve(text)
    wanted = str(platform(arguments.platform))
    image = images.get(text, wanted) or images.resolve(text)
    if image.platform != wanted:
        raise BuildFailure(
            "store-image-missing",
            f"no image {text!r} for {wanted} in the store",
            hint=f"there is one for {image.platform}; `lamina images` lists all",
        )
    return image
