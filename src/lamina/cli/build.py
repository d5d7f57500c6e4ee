"""`lamina build`: flags as in `docker buildx build`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lamina.cli.options import Parser, pairs
from lamina.cli.progress import opened
from lamina.diagnostics import BuildFailure
from lamina.engine.request import BuildResult
from lamina.explain.table import rows, summary
from lamina.report.rawjson import JsonReporter
from lamina.report.table import summary_line, table_lines

#: Flags of `docker buildx build` that are not there, and what to do instead.
_ABSENT = {
    "--push": "build with -t and -o type=oci, then `skopeo copy oci:…`",
    "--cache-from": "the store is the cache: keep it between builds, at --root",
    "--cache-to": "the store is the cache: keep it between builds, at --root",
    "--provenance": "leave it out",
    "--sbom": "leave it out, and let a scanner read the image",
    "--attest": "leave it out",
    "--annotation": "use --label, which is in the image's configuration",
    "--check": "leave it out",
    "--call": "leave it out",
    "--builder": "leave it out: there is no daemon to choose",
    "--policy": "leave it out",
    "--cgroup-parent": "start lamina in the control group that its steps are to run in",
}


class _Absent(argparse.Action):
    def __call__(self, _: object, __: object, ___: object, option: str | None = None) -> None:
        raise BuildFailure(
            "usage-not-there", f"lamina build has no {option} yet", hint=_ABSENT.get(option or "", "see the manual")
        )


def configure(parser: Parser) -> None:
    def add(name: str, *aliases: str, many: bool = False, **fields: Any) -> None:
        if many:
            fields |= {"action": "append", "default": []}
        parser.add_argument(name, *aliases, **fields)

    context = "a directory, - (an archive or a Dockerfile on standard input), a git or http(s) address"
    add("context", nargs="?", default=".", metavar="CONTEXT", help=context)
    add("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile; - = stdin)")
    add("-t", "--tag", many=True, metavar="NAME", help="name of the image")
    add("--build-arg", many=True, metavar="NAME=VALUE", help="value of an ARG")
    add("--target", default="", metavar="STAGE", help="the stage to build (default: the last)")
    output = "also write the image: oci, docker, tar or local"
    add("-o", "--output", many=True, metavar="type=T,dest=PATH", help=output)
    add("--platform", metavar="OS/ARCH,…", help="the platforms to build for (default: this machine's)")
    add("--label", many=True, metavar="NAME=VALUE", help="label of the image")
    named = "a named context: a directory, docker-image://, oci-layout://, target:, an address"
    add("--build-context", many=True, metavar="NAME=WHERE", help=named)
    add("--no-cache", action="store_true", help="run every step anew")
    add("--no-cache-filter", many=True, metavar="STAGE", help="run a stage anew")
    add("--cache-mount-root", metavar="DIR", help="the folder of cache mounts (default: in the store)")
    add("--pull", action="store_true", help="ask the registry again what the base images are")
    add("--secret", many=True, metavar="id=ID,src=FILE", help="a secret for RUN --mount=type=secret; or env=VARIABLE")
    add("--ssh", many=True, metavar="ID[=SOCKET|KEY]", help="an agent for RUN --mount=type=ssh")
    add("--allow", many=True, metavar="ENTITLEMENT", help="security.insecure, network.host")
    add("--network", default="default", choices=("default", "host", "none"), help="network of RUN steps")
    add("--add-host", many=True, metavar="NAME:ADDRESS", help="a name that RUN steps know")
    add("--ulimit", many=True, metavar="NAME=SOFT:HARD", help="a limit of RUN steps, such as nofile=1024")
    add("--shm-size", metavar="BYTES", help="size of /dev/shm in RUN steps, such as 128m")
    certificates = "certificate bundle that RUN steps see (default: the one that the environment names)"
    add("--ca-certs", default="host", metavar="host|none|PATH", help=certificates)
    add("--runtime", default="auto", metavar="NAME", help="what runs steps: bwrap, runc, crun, youki")
    add("--jobs", type=int, metavar="N", help="how many steps may run at once")
    add("--progress", default="auto", choices=("auto", "tty", "plain", "rawjson"), help="how to report")
    add("-q", "--quiet", action="store_true", help="print the image ID alone")
    add("--iidfile", metavar="FILE", help="write the image ID to a file")
    add("--metadata-file", metavar="FILE", help="write facts about the build to a file, as JSON")
    add("--load", action="store_true", help=argparse.SUPPRESS)  # the store is where images go anyway
    for name in _ABSENT:
        add(name, nargs="?", action=_Absent, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from lamina.api import build
    from lamina.cli import outside
    from lamina.cli.remember import begin

    memory = begin(arguments, os.environ, time.time_ns())
    dockerfile = sys.stdin.buffer.read() if arguments.file == "-" and arguments.context != "-" else arguments.file
    unknown = set(arguments.allow) - {"security.insecure", "network.host"}
    if unknown:
        raise BuildFailure("usage-bad-arguments", f"--allow: there is no entitlement {min(unknown)!r}")
    with (
        opened(arguments.progress, quiet=arguments.quiet) as reporter,
        outside.agents(arguments.ssh, os.environ) as agents,
    ):
        result = build(
            arguments.context,
            dockerfile=dockerfile,
            tags=arguments.tag,
            build_args=pairs(arguments.build_arg, "--build-arg", from_environment=True),
            target=arguments.target,
            platform=arguments.platform,
            labels=pairs(arguments.label, "--label"),
            contexts=pairs(arguments.build_context, "--build-context"),
            secrets=outside.secrets(arguments.secret, os.environ),
            ssh=agents,
            allow=arguments.allow,
            no_cache=arguments.no_cache,
            no_cache_stages=arguments.no_cache_filter,
            pull=arguments.pull,
            network=arguments.network,
            hosts=outside.hosts(arguments.add_host),
            limits=outside.limits(arguments.ulimit),
            shm_size=outside.size(arguments.shm_size, "--shm-size"),
            ca_certs=arguments.ca_certs,
            runtime=arguments.runtime,
            jobs=arguments.jobs,
            cache_mount_root=arguments.cache_mount_root,
            outputs=arguments.output,
            root=arguments.root,
            reporter=reporter,
            after=memory.note if memory is not None else None,
        )
    _write_files(arguments, result)
    if arguments.quiet:
        print(result.image_id)
    elif isinstance(reporter, JsonReporter):
        for one in (*result.others, result):
            steps = rows(one.stages)
            reporter.emit("result", image=one.image_id, build=one.build, seconds=one.seconds, steps=steps)
    else:
        for one in (*result.others, result):
            print("\n".join(_ending(one, result.others)), file=sys.stderr)
    return 0


def _ending(result: BuildResult, others: Sequence[BuildResult]) -> list[str]:
    width = shutil.get_terminal_size((120, 24)).columns if sys.stderr.isatty() else 120
    return [
        *table_lines(rows(result.stages), width=width),
        "",
        summary_line(summary(result.stages), result.seconds),
        f"image {result.image_id}" + (f" ({result.config.platform})" if others else ""),
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
