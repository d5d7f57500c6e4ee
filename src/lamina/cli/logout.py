"""`lamina logout`."""

from __future__ import annotations

import argparse

from lamina.cli.login import config_file, server
from lamina.cli.options import Parser
from lamina.registry.logins import forget


def configure(parser: Parser) -> None:
    parser.add_argument("server", nargs="?", default="docker.io", metavar="SERVER", help="the registry's host[:port]")


def run(arguments: argparse.Namespace) -> int:
    """Forgets the credentials that Docker's configuration has for a registry."""
    registry = server(arguments.server)
    known = forget(config_file(), registry)
    print(f"Removed the credentials for {registry}" if known else f"Not logged in to {registry}")
    return 0
