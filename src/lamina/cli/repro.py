"""`lamina repro`: build twice where nothing is cached, under surroundings that differ, and say what differs."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lamina.cli import build, outside
from lamina.cli.options import Parser
from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.explain.story import Story, ToldStep
from lamina.image.compare import compare, first_time
from lamina.oci.config import decode_config, encode_config
from lamina.plan.args import SOURCE_DATE_EPOCH
from lamina.report.repro import Finding, finding_json, finding_lines
from lamina.workshop import locate
from lamina.workshop.layersource import layers_of
from lamina.workshop.parsing import epoch, pairs, platforms, store_root
from lamina.workshop.sameness import settle
from lamina.workshop.wire import Workshop, workshop

#: That the images differ is no failure of lamina's, and so has no family of its own.
_DIFFERS = 1
#: How many differences of a step are told one by one.
_TOLD = 20
_ATTEMPT = "from lamina.cli.repro import attempt; raise SystemExit(attempt())"

#: What is not handed to the two builds: what this command decides, what names or sends an image, what needs a cache.
_KEPT_BACK = frozenset(
    (
        *("help", "context", "file", "root", "json", "parser", "words", "reproducible", "load"),
        *("tag", "annotation", "output", "push", "iidfile", "metadata_file", "provenance"),
        *("no_cache", "no_cache_filter", "pull", "fail_on_miss", "reuse", "cache_from", "cache_to"),
        "no_shared_cache",
        *("cache_mount_root", "max_size"),
    )
)


class Surroundings(Struct, frozen=True):
    """What differs between the two builds besides the moment. `folder` is where the context is copied to, below a
    fresh directory; the rest is as in `copy_context`."""

    folder: str
    umask: int
    environment: Mapping[str, str]
    words: tuple[str, ...] = ()
    backwards: bool = False
    fresh: bool = False
    group: bool = False


SURROUNDINGS = (
    Surroundings("one", 0o022, {"TZ": "UTC", "LC_ALL": "C", "USER": "one", "LOGNAME": "one"}),
    Surroundings(
        "second/with/a longer path",
        0o077,
        {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "USER": "second", "LOGNAME": "second"},
        ("--jobs", "1"),
        backwards=True,
        fresh=True,
        group=True,
    ),
)


class Order(Struct, frozen=True):
    """What a process that builds is told: where this store is, for the images that it stands on (name and ID), and the
    words of its `lamina build`."""

    store: str
    root: str
    images: tuple[tuple[str, Digest], ...]
    words: tuple[str, ...]


def configure(parser: Parser) -> None:
    build.configure(parser)
    parser.usage = f"{parser.prog} [OPTION of lamina build …] [CONTEXT]"
    parser.description = (
        "Build twice in two empty stores, with another umask, time zone, locale, path, age and order of files, and "
        "name the first step and file that differ. Options are those of `lamina build`; what would name, write or "
        "send the image or concerns the cache has no effect."
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """0 if both images are the same, 1 if they differ, else what the build that failed says."""
    _check(arguments)
    root = store_root(arguments.root)
    images = _images(arguments)
    with workshop(root) as shop:
        place = shop.store.session.fresh()
        place.mkdir(mode=0o700)
        roots, results, seconds = [], [], []
        for number, around in enumerate(SURROUNDINGS):
            if not arguments.quiet:
                print(f"build {number + 1} of {len(SURROUNDINGS)}", file=sys.stderr, flush=True)
            context = _context(arguments, place / str(number), around)
            roots.append(place / f"store{number}")
            told = place / f"{number}.json"
            words = (*_words(arguments, context, around), "--metadata-file", str(told))
            started = time.monotonic()
            status = _build(Order(str(root.absolute()), str(roots[-1]), images, words), around)
            if status:
                return status
            seconds.append(time.monotonic() - started)
            results.append(json.loads(told.read_bytes()))
            _let_a_second_pass()
        _ = shop.rung  # only now: the builds enter namespaces of their own
        with workshop(roots[0]) as one, workshop(roots[1]) as other:
            found = _compared((one, other), results, (seconds[0], seconds[1]))
    if arguments.json:
        from lamina.report.jsontext import json_page

        print(json_page(finding_json(found)))
    else:
        print("\n".join(finding_lines(found)))
    return 0 if found.same else _DIFFERS


def _check(arguments: argparse.Namespace) -> None:
    if "-" in (arguments.context, arguments.file):
        raise BuildFailure(
            "usage-bad-arguments", "standard input can be read only once", hint="name a directory and a Dockerfile"
        )
    if len(platforms(",".join(arguments.platform))) > 1:
        raise BuildFailure("usage-bad-arguments", "--platform: name one platform at a time")


def _images(arguments: argparse.Namespace) -> tuple[tuple[str, Digest], ...]:
    """The images from elsewhere that the build stands on, which this store knows from now on. What is wrong with the
    Dockerfile comes to light here, once."""
    from lamina.api import forecast

    found = forecast(
        arguments.context,
        dockerfile=arguments.file,
        build_args=pairs(arguments.build_arg, "--build-arg", from_environment=True),
        target=arguments.target,
        platform=",".join(arguments.platform),
        contexts=pairs(arguments.build_context, "--build-context"),
        allow=arguments.allow,
        pull=arguments.pull,
        network=arguments.network,
        hosts=outside.hosts(arguments.add_host),
        modes=arguments.modes,
        source_date_epoch=epoch(arguments.source_date_epoch),
        reproducible=True,
        root=arguments.root,
    )
    named = {str(image.reference): digest_of(image.config_raw) for image in found.images.values() if image.reference}
    return tuple(named.items())


# --- the two builds --------------------------------------------------------------------------------------------------
def _context(arguments: argparse.Namespace, place: Path, around: Surroundings) -> tuple[str, ...]:
    """The words that name the context and the Dockerfile: a copy of the context, if it is a directory here."""
    if locate.is_elsewhere(arguments.context):
        return (*(("--file", arguments.file) if arguments.file else ()), arguments.context)
    from lamina.cli.repro_context import copy_context

    located = locate.here(arguments.context, arguments.file)
    same = settle(located.configuration, arguments.modes, epoch(arguments.source_date_epoch), True)
    directory = place / around.folder
    copy_context(
        located,
        directory,
        same.modes,
        backwards=around.backwards,
        fresh=around.fresh,
        group=around.group,
    )
    # The copy is in no repository, or its own commit says nothing: the time is that of the original.
    given = any(word.partition("=")[0] == SOURCE_DATE_EPOCH for word in arguments.build_arg)
    stamp = () if given else (f"--build-arg={SOURCE_DATE_EPOCH}={same.image_time(located.directory)}",)
    return (*stamp, "--file", os.path.abspath(located.path or located.name), str(directory))


def _words(arguments: argparse.Namespace, context: Sequence[str], around: Surroundings) -> tuple[str, ...]:
    """The options as they were given, but for those that are kept back."""
    words: list[str] = []
    for action in arguments.parser._actions:
        value = getattr(arguments, action.dest, None)
        if action.dest in _KEPT_BACK or not action.option_strings or value == action.default or value is None:
            continue
        if action.help == argparse.SUPPRESS:  # another spelling of an option that is here too, or without effect
            continue
        option = action.option_strings[-1]
        if isinstance(action, argparse.BooleanOptionalAction):
            words.append(option if not value else action.option_strings[0])
        elif isinstance(value, bool):
            words.append(option)
        else:
            words += [f"{option}={each}" for each in (value if isinstance(value, list) else [value])]
    return ("--reproducible", *(around.words if arguments.jobs is None else ()), *words, *context)


def _build(order: Order, around: Surroundings) -> int:
    """Build in a process of its own, whose errors are its own to tell."""
    return subprocess.run(
        [sys.executable, "-c", _ATTEMPT, msgspec.json.encode(order)],
        env={**os.environ, **around.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        umask=around.umask,
        check=False,
    ).returncode


def attempt() -> int:
    """The process of one build, whose argument is its order."""
    from lamina.cli.main import run as command

    order = msgspec.json.decode(os.fsencode(sys.argv[1]), type=Order)
    os.environ["LAMINA_ROOT"] = order.root
    _bring(order)
    return command(["build", "--no-shared-cache", *order.words])


def _bring(order: Order) -> None:
    """Copy the images that a build stands on from the user's store into its own."""
    from lamina.oci.manifest import Manifest, decode_manifest
    from lamina.oci.reference import parse_reference
    from lamina.ports.images import ImageEntry
    from lamina.workshop.shipping import Form, Shipper

    with workshop(Path(order.store)) as mine, workshop(Path(order.root)) as fresh:
        _ = mine.rung  # before there are threads that compress
        shipper = Shipper(mine, Form(original=True))
        for name, image in order.images:
            entry = mine.catalog.entry(mine.store.images.resolve(image))
            if entry is not None and entry.layers:
                layers_of(mine, image)  # fetched, if they never were
            root = shipper.named((image,), (name,)).root
            raw = mine.store.blobs.read(root.digest)
            manifest = decode_manifest(raw)
            assert isinstance(manifest, Manifest)
            for blob in (manifest.config, *manifest.layers):
                if not fresh.store.blobs.has(blob.digest):
                    with (
                        shipper.open_blob(blob.digest) as source,
                        fresh.store.blobs.writer(blob.digest, blob.size) as writer,
                    ):
                        shutil.copyfileobj(source, writer, 1 << 20)
                        writer.commit()
            taken = ImageEntry(image, fresh.store.blobs.put(raw), manifest.layers)
            fresh.catalog.add(taken, (parse_reference(name),), time.time())


def _let_a_second_pass() -> None:
    """So that what writes the time of the day does not write the same."""
    ended = int(time.time())
    while int(time.time()) == ended:
        time.sleep(0.05)


# --- comparing -------------------------------------------------------------------------------------------------------
def _compared(
    shops: tuple[Workshop, Workshop], results: Sequence[Mapping[str, Any]], seconds: tuple[float, float]
) -> Finding:
    one, other = (Digest(result["containerimage.config.digest"]) for result in results)
    found = Finding((one, other), seconds)
    if found.same:
        return found
    first, second = (_steps(shop, result["lamina.build.ref"]) for shop, result in zip(shops, results, strict=True))
    differing = [
        (stage, mine, its)
        for (stage, mine), (_, its) in zip(first, second, strict=False)
        if mine.diff_id != its.diff_id
    ]
    if not differing:
        return msgspec.structs.replace(found, settings=_settings(shops, (one, other)))
    stage, mine, its = differing[0]
    layers = _layer(shops[0], mine), _layer(shops[1], its)
    differences = compare(*layers, shops[0].rung.xattr)
    shown = tuple(islice(differences, _TOLD))
    total = len(shown) + sum(1 for _ in differences)
    if not total:
        timed = first_time(*layers, shops[0].rung.xattr)
        shown, total = (timed,) if timed else (), 1
    return msgspec.structs.replace(found, step=mine, stage=stage, first=shown, total=total, more=len(differing) - 1)


def _steps(shop: Workshop, build_id: str) -> list[tuple[str, ToldStep]]:
    story = shop.store.builds.story(build_id, Story)
    assert story is not None
    return [(stage.label, step) for stage in story.stages for step in stage.steps]


def _layer(shop: Workshop, step: ToldStep) -> Path:
    """The directory of a step's layer; an empty one for a step that made none."""
    row = next((row for row in shop.store.snapshots.rows() if row.diff_id == step.diff_id), None)
    if row is not None:
        return shop.store.layout.layer(row.layer)
    nothing = shop.store.session.fresh()
    nothing.mkdir()
    return nothing


def _settings(shops: tuple[Workshop, Workshop], images: tuple[Digest, Digest]) -> tuple[str, ...]:
    """The fields of two configurations that differ."""
    first, second = (
        msgspec.json.decode(encode_config(decode_config(shop.store.blobs.read(image))))
        for shop, image in zip(shops, images, strict=True)
    )
    return tuple(name for name in dict.fromkeys((*first, *second)) if first.get(name) != second.get(name))
