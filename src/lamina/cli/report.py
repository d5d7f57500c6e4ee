"""`lamina report`: one HTML page of a past build, or of a replay of the git history."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from lamina.cli.advise import add_replay, gathered
from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.workshop.parsing import store_root

if TYPE_CHECKING:
    from lamina.report.page_build import Layers
    from lamina.store.builds import Build
    from lamina.workshop.wire import Workshop

_PARTS = ("jinja2", "vl_convert", "markupsafe")


def configure(parser: Parser) -> None:
    add = parser.add_argument
    build = "a build's id or its beginning, or an image that it made (default: the last build of the project here)"
    add("build", nargs="?", metavar="BUILD|IMAGE", help=build)
    replay = "instead: replay the git history of this build context, as `lamina advise` does (default: .)"
    add("--history", nargs="?", const=".", metavar="CONTEXT", help=replay)
    add(
        "-o",
        "--output",
        default="lamina-report.html",
        metavar="FILE",
        help="the page (default: %(default)s; -: stdout)",
    )
    group = parser.add_argument_group("with --history")
    add_replay(group.add_argument)


def run(arguments: argparse.Namespace) -> int:
    """Raises BuildFailure `usage-no-report` where the libraries for pages are absent."""
    _check(arguments)
    try:
        import lamina.report.page  # noqa: F401  # before a history is replayed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PARTS:
            raise
        hint = "pip install 'lamina[report]'"
        raise BuildFailure("usage-no-report", f"a report needs the library {error.name}", hint=hint) from None
    page = _of_build(arguments) if arguments.history is None else _of_history(arguments)
    from lamina.report.words import size
    from lamina.workshop.written import written

    with written(arguments.output, "a page") as stream:
        stream.write(page)
    if arguments.output != "-":
        print(f"{arguments.output}: {size(len(page))}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.history is not None:
        if arguments.build is not None:
            raise BuildFailure("usage-bad-arguments", "a report is of a build or with --history, not of both")
        arguments.context = arguments.history
        return
    parser = Parser(add_help=False)
    add_replay(parser.add_argument)
    for name, value in vars(parser.parse_args([])).items():
        if getattr(arguments, name) != value:
            flag = f"--{name.replace('_', '-')}"
            raise BuildFailure("usage-bad-arguments", f"{flag} is of the replay", hint="add --history")


def _of_history(arguments: argparse.Namespace) -> bytes:
    from lamina.report.page_history import history_page

    known, advice, proof = gathered(arguments)
    name = os.path.basename(os.path.realpath(known.located.directory)) or "/"
    return history_page(name, advice, known.notes, proof)


def _of_build(arguments: argparse.Namespace) -> bytes:
    from lamina.cli.explain import needs_of
    from lamina.explain.narrative import narrate
    from lamina.report.page_build import build_page
    from lamina.workshop import chosen
    from lamina.workshop.wire import workshop

    with workshop(store_root(arguments.root)) as shop:
        found = chosen.last(shop) if arguments.build is None else chosen.named(shop, arguments.build)
        build, story = found.build, found.story
        if story is None:
            hint = "it ended before its first step, or another version of lamina made it"
            raise BuildFailure("store-build-untold", f"nothing is known of what build {build.id} did", hint=hint)
        layers, notes = _layers(shop, build)
        return build_page(
            build, chosen.names_of(shop, build), story, narrate(story, needs_of(shop, story)), layers, notes
        )


def _layers(shop: Workshop, build: Build) -> tuple[Layers | None, tuple[str, ...]]:
    """The layers of a build's image, as far as they are in the store: nothing is fetched for a report."""
    from lamina.cli.layers import inventory_of, subject_of
    from lamina.digest import Digest
    from lamina.explain.layers import survey
    from lamina.report.page_build import Layers

    if build.image is None:
        return None, ()
    try:
        image = shop.store.images.resolve(Digest(build.image))
        subject = subject_of(shop, build.image, image)
    except BuildFailure as failure:
        return None, (f"the layers cannot be shown: {failure.diagnostic.message}",)
    return Layers(subject.layers, survey(subject.layers, inventory_of(shop, subject))), ()
