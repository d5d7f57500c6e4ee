"""`lamina build`: flags as in `docker buildx build`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import msgspec

from lamina.cli.options import Parser, pairs
from lamina.cli.progress import opened
from lamina.engine.request import BuildResult
from lamina.explain.table import rows, summary
from lamina.report.rawjson import JsonReporter
from lamina.report.table import summary_line, table_lines


def configure(parser: Parser) -> None:
    parser.add_argument("context", nargs="?", default=".", metavar="CONTEXT", help="the build context, a directory")
    parser.add_argument("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile; - = stdin)")
    parser.add_argument("-t", "--tag", action="append", default=[], metavar="NAME", help="name of the image")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="value of an ARG")
    parser.add_argument("--target", default="", metavar="STAGE", help="the stage to build (default: the last)")
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="type=T,dest=PATH",
        help="also write the image: oci, docker, tar or local",
    )
    parser.add_argument("--no-cache", action="store_true", help="run every step anew")
    parser.add_argument("--no-cache-filter", action="append", default=[], metavar="STAGE", help="run a stage anew")
    parser.add_argument("--pull", action="store_true", help="ask the registry again what the base images are")
    parser.add_argument("--platform", metavar="OS/ARCH", help="the platform to build for (default: this machine's)")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="label of the image")
    parser.add_argument(
        "--network", default="default", choices=("default", "host", "none"), help="network of RUN steps"
    )
    parser.add_argument(
        "--ca-certs",
        default="host",
        metavar="host|none|PATH",
        help="certificate bundle that RUN steps see (default: the one that the environment names)",
    )
    parser.add_argument("--runtime", default="auto", metavar="NAME", help="what runs steps: bwrap, runc, crun, youki")
    parser.add_argument("--jobs", type=int, metavar="N", help="how many steps may run at once")
    parser.add_argument("--progress", default="auto", choices=("auto", "tty", "plain", "rawjson"), help="how to report")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the image ID alone")
    parser.add_argument("--iidfile", metavar="FILE", help="write the image ID to a file")
    parser.add_argument("--metadata-file", metavar="FILE", help="write facts about the build to a file, as JSON")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)  # the store is where images go anyway


def run(arguments: argparse.Namespace) -> int:
    from lamina.api import build
    from lamina.cli.remember import begin

    memory = begin(arguments, os.environ, time.time_ns())
    dockerfile = sys.stdin.buffer.read() if arguments.file == "-" else arguments.file
    with opened(arguments.progress, quiet=arguments.quiet) as reporter:
        result = build(
            arguments.context,
            dockerfile=dockerfile,
            tags=arguments.tag,
            build_args=pairs(arguments.build_arg, "--build-arg", from_environment=True),
            target=arguments.target,
            platform=arguments.platform,
            labels=pairs(arguments.label, "--label"),
            no_cache=arguments.no_cache,
            no_cache_stages=arguments.no_cache_filter,
            pull=arguments.pull,
            network=arguments.network,
            ca_certs=arguments.ca_certs,
            runtime=arguments.runtime,
            jobs=arguments.jobs,
            outputs=arguments.output,
            root=arguments.root,
            reporter=reporter,
            after=memory.note if memory is not None else None,
        )
    _write_files(arguments, result)
    if arguments.quiet:
        print(result.image_id)
    elif isinstance(reporter, JsonReporter):
        reporter.emit(
            "result", image=result.image_id, build=result.build, seconds=result.seconds, steps=rows(result.stages)
        )
    else:
        print("\n".join(_ending(result)), file=sys.stderr)
    return 0


def _ending(result: BuildResult) -> list[str]:
    width = shutil.get_terminal_size((120, 24)).columns if sys.stderr.isatty() else 120
    return [
        *table_lines(rows(result.stages), width=width),
        "",
        summary_line(summary(result.stages), result.seconds),
        f"image {result.image_id}",
    ]


def _write_files(arguments: argparse.Namespace, result: BuildResult) -> None:
    if arguments.iidfile:
        Path(arguments.iidfile).write_text(result.image_id)
    if arguments.metadata_file:
        metadata = {
            "containerimage.config.digest": result.image_id,
            "image.name": ",".join(arguments.tag),
            "lamina.build.ref": result.build,
            "lamina.build.seconds": round(result.seconds, 3),
        }
        Path(arguments.metadata_file).write_bytes(msgspec.json.format(msgspec.json.encode(metadata)))
