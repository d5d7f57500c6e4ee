"""`lamina build`: flags as in `docker buildx build`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from lamina.cli.habits import refused, switch, without_effect
from lamina.cli.options import Parser, add_reproducible, build_args, commas, terminal_width
from lamina.cli.progress import opened
from lamina.diagnostics import BuildFailure
from lamina.engine.request import BuildResult, NotCached
from lamina.explain.story import tell
from lamina.explain.table import rows, summary
from lamina.report.rawjson import JsonReporter
from lamina.report.table import summary_line, table_lines
from lamina.workshop.parsing import epoch, pairs, reference

_PROGRESS = ("auto", "tty", "plain", "rawjson", "quiet", "none")
_LIMITS = (
    "steps share lamina's control group: start it in one with limits, as `systemd-run --scope -p MemoryMax=1G` does"
)
#: Options of `docker buildx build` and of Docker's older builder that are not there, and what to do instead.
_INSTEAD = {
    "--builder": "leave it out: there is no daemon to choose",
    "--policy": "leave it out",
    "--cgroup-parent": "start lamina in the control group that its steps are to run in",
    "-D --debug": "leave it out: --progress plain shows everything that a step prints",
    "--detach": "leave it out",
    "--invoke": "build up to the stage with --target, and look into it with `lamina run`",
    "--print": "write --call",
    "--server-config": "leave it out",
    "--squash": "end the Dockerfile with a stage FROM scratch that copies all with one COPY --from",
    "-m --memory": _LIMITS,
    "--memory-swap": _LIMITS,
    "-c --cpu-shares": _LIMITS,
    "--cpu-period": _LIMITS,
    "--cpu-quota": _LIMITS,
    "--cpuset-cpus": _LIMITS,
    "--cpuset-mems": _LIMITS,
    "--isolation": "leave it out: it is for Windows",
    "--security-opt": "a step that needs more writes RUN --security=insecure, and the build --allow security.insecure",
    "--stream": "leave it out: a context is read where it is",
}


def configure(parser: Parser) -> None:
    parser.usage = f"{parser.prog} [OPTION …] [CONTEXT]"
    add: Callable[..., Any] = parser.add_argument

    def many(name: str, *aliases: str, **fields: Any) -> None:
        add(name, *aliases, action="append", default=[], **fields)

    def group(title: str) -> Callable[..., Any]:
        return parser.add_argument_group(title).add_argument

    context = "a directory, - (an archive or a Dockerfile on standard input), a git or http(s) address"
    add("context", nargs="?", default=".", metavar="CONTEXT", help=context)
    add = group("what to build")
    add("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile; - = stdin)")
    many("--build-arg", metavar="NAME=VALUE", help="value of an ARG")
    add("--target", default="", metavar="STAGE", help="the stage to build (default: the last)")
    many("--platform", metavar="OS/ARCH,…", help="the platforms to build for (default: this machine's)")
    named = "a named context: a directory, docker-image://, oci-layout://, target:, an address"
    many("--build-context", metavar="NAME=WHERE", help=named)
    add = group("the image")
    many("-t", "--tag", metavar="NAME", help="name of the image")
    many("--label", metavar="NAME=VALUE", help="label of the image")
    many("--annotation", metavar="[index:]NAME=VALUE", help="annotation of the manifest (or the index) in an output")
    many("-o", "--output", metavar="type=T,dest=PATH", help="also write it: registry, image, oci, docker, tar, local")
    pushed = "push the image under its names: short for -o type=image,push=true"
    switch(add, "--push", help=pushed)
    stated = "say how the image was built, beside it in what is pushed or written as type=oci"
    add("--provenance", metavar="true|mode=max", help=stated)
    many("--attest", metavar="type=provenance", help=argparse.SUPPRESS)
    add("--sbom", help=argparse.SUPPRESS)  # to be switched off, which scripts do
    add("--iidfile", metavar="FILE", help="write the image ID to a file")
    add("--metadata-file", metavar="FILE", help="write facts about the build to a file, as JSON")
    add = group("the cache")
    switch(add, "--no-cache", help="run every step anew")
    many("--no-cache-filter", metavar="STAGE,…", help="run stages anew")
    switch(add, "--pull", help="ask the registry again what the base images are")
    seen = "note what RUN steps look at in copied files, and keep what looked at nothing that changed"
    add("--observe", action=argparse.BooleanOptionalAction, help=seen)
    add("--fail-on-miss", action="store_true", help="fail rather than run a step")
    add("--reuse", action="store_true", help="take an image that was built from the same inputs before as it is")
    shared = "a cache of other machines: registry, local, s3, gs, az (docs/shared-cache.md)"
    many("--cache-from", metavar="type=T,…", help=shared)
    many("--cache-to", metavar="type=T,…", help="write steps to it, for other machines")
    add("--no-shared-cache", action="store_true", help="no cache of other machines, whatever the configuration says")
    add("--cache-mount-root", metavar="DIR", help="the folder of cache mounts (default: in the store)")
    add("--max-size", metavar="SIZE", help="the store's limit, such as 20GB (default: `lamina cache limit`)")
    add_reproducible(add)
    add = group("what RUN steps are given")
    many("--secret", metavar="id=ID,src=FILE", help="a secret for RUN --mount=type=secret; or id=ID,env=VARIABLE")
    many("--ssh", metavar="ID[=SOCKET|KEY]", help="an agent for RUN --mount=type=ssh")
    many("--allow", metavar="ENTITLEMENT,…", help="security.insecure, network.host")
    add("--network", default="default", choices=("default", "host", "none"), help="their network")
    many("--add-host", metavar="NAME:ADDRESS", help="a name that they know; host-gateway is this machine's address")
    many("--ulimit", metavar="NAME=SOFT:HARD", help="a limit, such as nofile=1024")
    add("--shm-size", metavar="BYTES", help="size of /dev/shm, such as 128m")
    certificates = "certificate bundle that they see (default: the one that the environment names)"
    add("--ca-certs", default="host", metavar="host|none|PATH", help=certificates)
    add("--runtime", default="auto", metavar="NAME", help="what runs them: bwrap, runc, crun, youki")
    add("--jobs", type=int, metavar="N", help="how many may run at once")
    add = group("what is said")
    add(
        "--check",
        action="store_const",
        const="check",
        dest="call",
        default="build",
        help="check the Dockerfile, and build nothing",
    )
    asked = "or ask it for its targets, or for what one of them can be given (outline)"
    add("--call", default="build", metavar="METHOD[,format=json]", help=asked)
    told = "how to report (default: $BUILDKIT_PROGRESS, or auto)"
    add("--progress", default=_progress(os.environ), choices=_PROGRESS, help=told)
    switch(add, "-q", "--quiet", help="print the image ID alone")
    # Images go into the store anyway, steps leave no container, and contexts are not sent.
    for name in ("--load", "--rm", "--force-rm", "--compress", "--disable-content-trust"):
        without_effect(add, name)
    refused(add, _INSTEAD)


def _progress(environment: Mapping[str, str]) -> str:
    """What is set for all builds, as buildx reads it; something else there is no error."""
    chosen = environment.get("BUILDKIT_PROGRESS", "")
    return chosen if chosen in _PROGRESS else "auto"


def run(arguments: argparse.Namespace) -> int:
    if arguments.call != "build":
        from lamina.cli import calling

        call = calling.parse_call(arguments.call)
        if call.method != "build":
            return calling.run(call, arguments)
    from lamina.api import build
    from lamina.cli import outside
    from lamina.cli.remember import begin

    provenance = _provenance(arguments)
    silent = arguments.progress == "none"
    quiet = arguments.quiet or silent or arguments.progress == "quiet"
    memory = begin(arguments, os.environ, time.time_ns())
    dockerfile = sys.stdin.buffer.read() if arguments.file == "-" and arguments.context != "-" else arguments.file
    allow = commas(arguments.allow)
    unknown = set(allow) - {"security.insecure", "network.host"}
    if unknown:
        raise BuildFailure("usage-bad-arguments", f"--allow: there is no entitlement {min(unknown)!r}")
    with (
        _explained(),
        opened(arguments.progress, quiet=quiet) as reporter,
        outside.agents(arguments.ssh, os.environ) as agents,
    ):
        result = build(
            arguments.context,
            dockerfile=dockerfile,
            tags=arguments.tag,
            build_args=build_args(arguments, os.environ),
            target=arguments.target,
            platform=",".join(arguments.platform),
            labels=pairs(arguments.label, "--label"),
            annotations=arguments.annotation,
            contexts=pairs(arguments.build_context, "--build-context"),
            secrets=outside.secrets(arguments.secret, os.environ),
            ssh=agents,
            allow=allow,
            no_cache=arguments.no_cache,
            no_cache_stages=commas(arguments.no_cache_filter),
            pull=arguments.pull,
            network=arguments.network,
            hosts=outside.hosts(arguments.add_host),
            limits=outside.limits(arguments.ulimit),
            shm_size=outside.size(arguments.shm_size, "--shm-size"),
            ca_certs=arguments.ca_certs,
            runtime=arguments.runtime,
            jobs=arguments.jobs,
            cache_mount_root=arguments.cache_mount_root,
            modes=arguments.modes,
            source_date_epoch=epoch(arguments.source_date_epoch),
            reproducible=arguments.reproducible,
            fail_on_miss=arguments.fail_on_miss,
            reuse=arguments.reuse,
            observe=arguments.observe,
            max_size=_limit(arguments.max_size),
            cache_from=() if arguments.no_shared_cache else arguments.cache_from or None,
            cache_to=() if arguments.no_shared_cache else arguments.cache_to or None,
            provenance=provenance,
            outputs=[*arguments.output, *(["type=image,push=true"] if arguments.push else [])],
            root=arguments.root,
            reporter=reporter,
            after=memory.note if memory is not None else None,
        )
    _write_files(arguments, result)
    if quiet:
        if not silent or arguments.quiet:
            print(result.image_id)
    elif isinstance(reporter, JsonReporter):
        for one in (*result.others, result):
            steps = rows(tell(one.stages))
            told = {"shared": one.shared} if one.shared is not None else {}
            reporter.emit("result", image=one.image_id, build=one.build, seconds=one.seconds, steps=steps, **told)
    else:
        for one in (*result.others, result):
            print("\n".join(_ending(one, result.others)), file=sys.stderr)
        if result.shared is not None:
            from lamina.report.shared import shared_line  # here, because most builds have no shared cache

            print(shared_line(result.shared), file=sys.stderr)
    return 0


def _provenance(arguments: argparse.Namespace) -> Literal["min", "max"] | None:
    if not (arguments.attest or arguments.provenance or arguments.sbom):
        return None
    from lamina.workshop.provenance import parse_mode  # here, because most builds attest nothing

    return parse_mode(arguments.attest, arguments.provenance, arguments.sbom)


@contextmanager
def _explained() -> Iterator[None]:
    """Say why a step is not cached where a build fails of it."""
    try:
        yield
    except NotCached as failure:
        from lamina.report.causes import phrase

        told = phrase(failure.causes[0], sum(max(1, cause.total) for cause in failure.causes) - 1)
        failure.diagnostic = replace(failure.diagnostic, cause=told)
        raise


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    from lamina.store.limit import parse_size

    return parse_size(text)


def _ending(result: BuildResult, others: Sequence[BuildResult]) -> list[str]:
    width = terminal_width(sys.stderr)
    if result.reused:
        return [f"image {result.image_id}: built from the same inputs before ({result.key})"]
    story = tell(result.stages)
    return [
        *table_lines(rows(story), width=width),
        "",
        summary_line(summary(story), result.seconds),
        f"image {result.image_id}" + (f" ({result.config.platform})" if others else ""),
    ]


def _write_files(arguments: argparse.Namespace, result: BuildResult) -> None:
    if arguments.iidfile:
        _write(arguments.iidfile, result.image_id.encode())
    if arguments.metadata_file:
        metadata = {
            "containerimage.config.digest": result.image_id,
            **({"containerimage.digest": result.manifest} if result.manifest else {}),
            "image.name": ",".join(str(reference(tag)) for tag in arguments.tag),
            "lamina.build.key": result.key,
            "lamina.build.ref": result.build,
            "lamina.build.seconds": round(result.seconds, 3),
        }
        _write(arguments.metadata_file, msgspec.json.format(msgspec.json.encode(metadata)))


def _write(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise BuildFailure("image-output-failed", f"cannot write {path}", cause=error.strerror) from None
