"""`lamina import`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.oci.config import RuntimeConfig
from lamina.workshop.parsing import pairs, platform, reference, store_root
from lamina.workshop.receiving import import_root
from lamina.workshop.wire import workshop


def configure(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="tar of a root file system, also compressed; - = stdin")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the image's name")
    parser.add_argument("-m", "--message", default="", metavar="TEXT", help="text for the history")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="environment of the image")
    parser.add_argument("--cmd", metavar="JSON", help="command of the image, a JSON list")
    parser.add_argument("--platform", metavar="OS/ARCH", help="what the files are for (default: this machine's)")


def run(arguments: argparse.Namespace) -> int:
    """Prints the image's ID."""
    env = pairs(arguments.env, "--env")
    runtime = RuntimeConfig(env=tuple(f"{name}={value}" for name, value in env.items()), cmd=_command(arguments.cmd))
    names = [reference(arguments.name)] if arguments.name else []
    with workshop(store_root(arguments.root)) as shop, _opened(arguments.file) as stream:
        print(import_root(shop, stream, names, runtime, platform(arguments.platform), arguments.message))
    return 0


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 — the try is for the opening alone
    except OSError as error:
        raise BuildFailure("image-unreadable", f"cannot read {file}", cause=error.strerror) from None
    with stream:
        try:
            yield stream
        except BuildFailure as failure:
            raise failure.about(file) from None


def _command(text: str | None) -> tuple[str, ...] | None:
    try:
        return msgspec.json.decode(text, type=tuple[str, ...]) if text else None
    except msgspec.MsgspecError:
        raise BuildFailure("usage-bad-arguments", f"--cmd {text!r} is not a JSON list of words") from None
