"""The Python API: what the commands do, as calls. Re-exported by `lamina`."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from lamina.cli.options import host_platform, reference, store_root
from lamina.cli.options import platform as read_platform
from lamina.cli.outputs import export, parse_output
from lamina.cli.wire import Workshop, workshop
from lamina.context.ignore_file import load_rules
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.engine.build import build as run_build
from lamina.engine.request import BuildRequest, BuildResult
from lamina.events import Reporter
from lamina.plan.steps import PlanOptions
from lamina.ports import Mount
from lamina.report.logfile import LogFile
from lamina.report.plain import PlainReporter
from lamina.report.tee import Tee
from lamina.store.builds import Build


def build(
    context: str | os.PathLike[str] = ".",
    *,
    dockerfile: str | os.PathLike[str] | bytes | None = None,
    tags: Sequence[str] = (),
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str | None = None,
    labels: Mapping[str, str] | None = None,
    no_cache: bool = False,
    no_cache_stages: Sequence[str] = (),
    pull: bool = False,
    network: str = "default",
    ca_certs: str = "host",
    runtime: str = "auto",
    jobs: int | None = None,
    outputs: Sequence[str] = (),
    root: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    after: Callable[[Workshop, DirectoryContext, BuildResult], None] | None = None,
) -> BuildResult:
    """Build an image from the directory `context`.

    `dockerfile` is a path (relative to the working directory), the file's bytes, or None for `Dockerfile` in the
    context. `ca_certs` is `host` (RUN steps see the certificate bundle that the environment names), `none`, or a path.
    `jobs` is how many steps may run at once. `outputs` are written as for `lamina build -o`. `root` is the store's
    folder. `reporter` hears what happens. `after` is called when the image is there, while the store and the context
    are still open; the command notes there what a next build may rely on.

    Raises BuildFailure for everything that the user can mend.
    """
    directory = Path(context)
    text, name, path = _read_dockerfile(directory, dockerfile)
    wanted = [parse_output(output) for output in outputs]
    mounts, environment = _certificates(ca_certs)
    with workshop(store_root(root), runtime) as shop:
        identity = f"{int(time.time()):x}{secrets.token_hex(3)}"
        request = BuildRequest(
            build=identity,
            dockerfile=text,
            file=name,
            # However the user spells the two paths, it is the same project.
            project=f"{os.path.realpath(directory)}:{os.path.realpath(path) if path else name}",
            options=PlanOptions(
                platform=read_platform(platform),
                build_platform=host_platform(),
                build_args=dict(build_args or {}),
                target=target,
                labels=dict(labels or {}),
            ),
            tags=tuple(reference(tag) for tag in tags),
            no_cache=no_cache,
            no_cache_stages=frozenset(no_cache_stages),
            pull=pull,
            network=network,
            run_mounts=mounts,
            run_env=environment,
            # A step mostly waits for the network or the disk, so there may be more of them than cores.
            jobs=jobs or max(4, os.cpu_count() or 1),
        )
        rules = load_rules(directory, path)
        cache = shop.store.layout.root / "contexts"
        with closing(DirectoryContext(directory, rules=rules, cache=cache)) as reader:
            result = _logged_build(request, shop, reader, reporter or Reporter())
            if after is not None:
                after(shop, reader, result)
        for output in wanted:
            export(shop, result.image_id, request.tags, output)
        return result


def _logged_build(request: BuildRequest, shop: Workshop, context: DirectoryContext, reporter: Reporter) -> BuildResult:
    """Build with a log file beside, and keep the build's story whether it succeeds or not."""
    log = shop.store.layout.logs / f"{request.build}.log"
    started, result = time.time(), None
    try:
        with LogFile(log) as stream:
            result = run_build(request, shop.world(context), Tee(reporter, PlainReporter(stream)))
        return result
    except BuildFailure as failure:
        if failure.diagnostic.reference == "step-failed":
            raise failure.with_log(str(log)) from None
        raise
    finally:
        # What a full disk says here must not stand before what the build said.
        with suppress(BuildFailure):
            shop.store.builds.add(
                Build(
                    id=request.build,
                    project=request.project,
                    started=started,
                    seconds=time.time() - started,
                    result="done" if result else "failed",
                    image=result.image_id if result else None,
                    decisions=msgspec.Raw(msgspec.json.encode(result.stages if result else [])),
                    log=log.name,
                )
            )


def _read_dockerfile(
    context: Path, dockerfile: str | os.PathLike[str] | bytes | None
) -> tuple[bytes, str, Path | None]:
    """The Dockerfile's bytes, its name for messages, and its path if it has one."""
    if isinstance(dockerfile, bytes):
        return dockerfile, "<stdin>", None
    path = Path(dockerfile) if dockerfile is not None else context / "Dockerfile"
    try:
        return path.read_bytes(), str(path), path
    except FileNotFoundError:
        hint = "name it with -f, or pass the directory that holds it"
        if not context.is_dir():
            raise BuildFailure("context-not-found", f"the build context {str(context)!r} does not exist") from None
        raise BuildFailure("dockerfile-not-found", f"there is no {path}", hint=hint) from None
    except OSError as error:
        raise BuildFailure("dockerfile-unreadable", f"{path} cannot be read", cause=error.strerror) from None


def _certificates(choice: str) -> tuple[tuple[Mount, ...], dict[str, str]]:
    from lamina.runtime.certificates import host_bundle, step_certificates

    if choice == "none":
        return (), {}
    bundle = host_bundle(os.environ) if choice == "host" else Path(choice)
    if bundle is None:
        return (), {}
    if not bundle.is_file():
        raise BuildFailure("usage-ca-certs", f"--ca-certs: there is no file {choice!r}")
    mount, environment = step_certificates(bundle)
    return (mount,), environment
