"""`lamina build --call`: what a Dockerfile is asked instead of being built (buildx' option of that name)."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from msgspec import Struct

from lamina.diagnostics import BuildFailure
from lamina.workshop import locate
from lamina.workshop.parsing import host_platform, pairs, platforms, store_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.oci.config import ImageConfig
    from lamina.plan.steps import ImageRef, PlanOptions

_METHODS = ("build", "check", "outline", "targets")


class Call(Struct, frozen=True):
    """`method` is one of `_METHODS`; `ignore_status`: what a check finds does not count for the exit status."""

    method: str
    json: bool = False
    ignore_status: bool = False


def parse_call(text: str) -> Call:
    """Read `METHOD[,format=json][,ignorestatus=true]`; `lint` is an old name of `check`.

    Raises BuildFailure `usage-call`.
    """
    method, json, ignore = "", False, False
    for field in text.split(","):
        name, equals, value = field.strip().partition("=")
        if not equals and not method:
            method = "check" if name == "lint" else name
        elif name == "format" and value in ("json", "text"):
            json = value == "json"
        elif name == "ignorestatus" and value.lower() in ("true", "false", "1", "0"):
            ignore = value.lower() in ("true", "1")
        else:
            hint = "write METHOD, METHOD,format=json or METHOD,ignorestatus=true"
            raise BuildFailure("usage-call", f"--call {text}: {field!r} is not known", hint=hint)
    if method not in _METHODS:
        raise BuildFailure("usage-call", f"--call has no method {method!r}", hint=f"one of {', '.join(_METHODS)}")
    return Call(method, json, ignore)


def run(call: Call, arguments: argparse.Namespace) -> int:
    """Answer it with the options of a build that mean something to it. Returns the exit status."""
    if call.method == "check":
        return _check(call, arguments)
    from lamina.dockerfile import parse
    from lamina.plan.parameters import parameters, targets
    from lamina.report import parameters as report

    located = _located(arguments)
    dockerfile = parse(located.text, located.name)
    if call.method == "targets":
        found = targets(dockerfile)
        print(report.targets_json(found, located.text) if call.json else "\n".join(report.targets_lines(found)))
        return 0
    options = _options(arguments)
    taken = parameters(dockerfile, options, _known(arguments))
    print(report.parameters_json(taken, located.text) if call.json else "\n".join(report.parameters_lines(taken)))
    return 0


def _located(arguments: argparse.Namespace) -> locate.Located:
    """The Dockerfile that a build with these options would read."""
    dockerfile = sys.stdin.buffer.read() if arguments.file == "-" and arguments.context != "-" else arguments.file
    if not locate.is_elsewhere(arguments.context):
        return locate.here(arguments.context, dockerfile)
    from lamina.workshop.wire import workshop

    with workshop(store_root(arguments.root)) as shop, ExitStack() as held:
        return locate.fetched(arguments.context, dockerfile, shop, held, {})


def _options(arguments: argparse.Namespace) -> PlanOptions:
    from lamina.plan.steps import PlanOptions

    contexts = pairs(arguments.build_context, "--build-context")
    return PlanOptions(
        platform=platforms(",".join(arguments.platform))[0],
        build_platform=host_platform(),
        build_args=pairs(arguments.build_arg, "--build-arg", from_environment=True),
        target=arguments.target,
        contexts={
            name: where if where.startswith(("docker-image://", "target:")) else "tree"
            for name, where in contexts.items()
        },
        allow=frozenset({"security.insecure", "network.host"}),
    )


def _known(arguments: argparse.Namespace) -> Callable[[ImageRef], ImageConfig | None]:
    """What the store knows of base images; no registry is asked, and a store that is not there is not made."""
    from lamina.workshop.checking import known_images

    place = store_root(arguments.root)
    return lambda image: known_images({image.name}, image.platform, place).get(image.name)


def _check(call: Call, arguments: argparse.Namespace) -> int:
    from lamina.cli import check
    from lamina.cli.options import make_parser

    parser = make_parser("check", "")
    check.configure(parser)
    words = ["--platform", arguments.platform[0].split(",")[0]] if arguments.platform else []
    words += [f"--build-arg={one}" for one in arguments.build_arg]
    words += ["--file", arguments.file] if arguments.file else []
    words += ["--root", arguments.root] if arguments.root else []
    words += ["--format", "json"] if call.json else []
    words += ["--fail-on", "never"] if call.ignore_status else []
    return check.run(parser.parse_args([*words, "--", arguments.context]))
