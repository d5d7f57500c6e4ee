"""The options that say what would be built, for commands that look at a build without doing it: `plan` and `key`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from lamina.cli.habits import without_effect
from lamina.cli.options import Parser, add_reproducible, build_args, commas
from lamina.workshop.parsing import epoch, pairs

#: Options of `lamina build` that change nothing of what a plan or a key says: so its command line can be taken over.
_VALUES = (
    *("--annotation", "--attest", "--ca-certs", "--cache-mount-root", "--cache-to", "--iidfile", "--jobs"),
    *("--max-size", "--metadata-file", "-o --output", "--progress", "--provenance", "--runtime", "--sbom", "--secret"),
    *("--shm-size", "--ssh", "-t --tag", "--ulimit"),
)
_SWITCHES = ("--fail-on-miss", "--load", "--push", "-q --quiet", "--reuse")


def configure(parser: Parser) -> None:
    """Those of `lamina build` with the same names and meanings."""
    add = parser.add_argument
    add("context", nargs="?", default=".", metavar="CONTEXT", help="the build context, as for `lamina build`")
    add("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile; - = stdin)")
    add("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="value of an ARG")
    add("--target", default="", metavar="STAGE", help="the stage to build (default: the last)")
    add("--platform", metavar="OS/ARCH", help="the platform to build for (default: this machine's)")
    add("--build-context", action="append", default=[], metavar="NAME=WHERE", help="a named context")
    add("--allow", action="append", default=[], metavar="ENTITLEMENT", help="security.insecure, network.host")
    add("--pull", action="store_true", help="ask the registry again what the base images are")
    add("--network", default="default", choices=("default", "host", "none"), help="network of RUN steps")
    add("--add-host", action="append", default=[], metavar="NAME:ADDRESS", help="a name that RUN steps know")
    add_reproducible(add)
    for names in _VALUES:
        without_effect(add, *names.split(), value=True)
    for names in _SWITCHES:
        without_effect(add, *names.split())


def fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, as keyword arguments of `api.forecast` and `api.key`; reads a Dockerfile from standard input.

    Raises BuildFailure `usage-…`.
    """
    from lamina.cli import outside

    from_stdin = arguments.file == "-" and arguments.context != "-"
    return {
        "context": arguments.context,
        "dockerfile": sys.stdin.buffer.read() if from_stdin else arguments.file,
        "build_args": build_args(arguments, os.environ),
        "target": arguments.target,
        "platform": arguments.platform,
        "contexts": pairs(arguments.build_context, "--build-context"),
        "allow": commas(arguments.allow),
        "pull": arguments.pull,
        "network": arguments.network,
        "hosts": outside.hosts(arguments.add_host),
        "modes": arguments.modes,
        "source_date_epoch": epoch(arguments.source_date_epoch),
        "reproducible": arguments.reproducible,
        "root": arguments.root,
    }
