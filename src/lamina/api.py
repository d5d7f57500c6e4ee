"""The Python API: what the commands do, as calls. Re-exported by `lamina`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from lamina.context.modes import Modes
from lamina.context.reader import DirectoryContext
from lamina.diagnostics import BuildFailure
from lamina.digest import DiffID, Digest
from lamina.engine.request import BuildResult
from lamina.events import Reporter
from lamina.explain.story import Story
from lamina.ports.images import ImageEntry
from lamina.ports.running import Limit, Mount
from lamina.workshop import outputs as out
from lamina.workshop.annotations import parse_annotations
from lamina.workshop.logged import build_for
from lamina.workshop.parsing import platforms, reference, store_root
from lamina.workshop.wire import Workshop, workshop
from lamina.workshop.workplace import Opened, Workplace, host_last, plan_options, request_for, workplace

if TYPE_CHECKING:
    from lamina.advise.advice import Advice
    from lamina.engine.forecast import Forecast
    from lamina.sharing.cache import Shared
    from lamina.sharing.places import CacheFrom, CacheTo
    from lamina.workshop.checking import Examined

    _Caches = tuple[tuple[CacheFrom, ...], tuple[CacheTo, ...]]


def build(
    context: str | os.PathLike[str] = ".",
    *,
    dockerfile: str | os.PathLike[str] | bytes | None = None,
    tags: Sequence[str] = (),
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Sequence[str] = (),
    contexts: Mapping[str, str | os.PathLike[str]] | None = None,
    secrets: Mapping[str, bytes | os.PathLike[str] | Callable[[], bytes]] | None = None,
    ssh: Mapping[str, str | os.PathLike[str]] | None = None,
    allow: Sequence[str] = (),
    no_cache: bool = False,
    no_cache_stages: Sequence[str] = (),
    pull: bool = False,
    network: str = "default",
    hosts: Sequence[tuple[str, str]] = (),
    limits: Sequence[Limit] = (),
    shm_size: int | None = None,
    ca_certs: str = "host",
    runtime: str = "auto",
    jobs: int | None = None,
    cache_mount_root: str | os.PathLike[str] | None = None,
    modes: Modes | None = None,
    source_date_epoch: int | Literal["auto"] | None = None,
    reproducible: bool | None = None,
    fail_on_miss: bool = False,
    reuse: bool = False,
    observe: bool | None = None,
    cache_from: Sequence[str] | None = None,
    cache_to: Sequence[str] | None = None,
    provenance: Literal["min", "max"] | None = None,
    outputs: Sequence[str] = (),
    root: str | os.PathLike[str] | None = None,
    max_size: int | None = None,
    reporter: Reporter | None = None,
    after: Callable[[Workshop, DirectoryContext, BuildResult], None] | None = None,
) -> BuildResult:
    """Build an image from `context`: a directory, `-` (an archive or a Dockerfile on standard input), or the address of
    a git repository or an archive.

    `dockerfile` is a path (relative to the working directory; inside the context if that is no directory here), the
    file's bytes, or None for `Dockerfile` in the context. `platform` is one or several with commas; the result is that
    of this machine's if it is among them, with the `others` beside it. `contexts` are named ones as for
    `--build-context`, `annotations` as for `--annotation`. `secrets` are bytes, a file, or a function that gives the
    bytes; `ssh` the sockets of agents. `allow` holds entitlements such as `security.insecure`. `hosts` are (name,
    address), `shm_size` bytes. `ca_certs` is `host` (RUN steps see the certificate bundle that the environment names),
    `none`, or a path. `jobs` is how many steps may run at once. `cache_mount_root` is the folder of cache mounts
    (default: in the store). `modes` says which permission bits of context files count: all (`keep`), or whether a file
    is executable (`git`); `source_date_epoch` is the time that the image bears and that steps are offered, `auto` that
    of the commit; with `reproducible` the same commit, base and files give the same image wherever it is built
    (docs/reproducible.md). The default of all three is what the context's `lamina.toml` says. With `fail_on_miss` no
    step may run; with `reuse` an image that was built from the same inputs is taken as it is. With `observe` (default:
    what `lamina.toml` says, or not) it is noted what RUN steps look at in copied files, and a step that looked at
    nothing that changed is cached. `cache_from` and `cache_to` are shared caches as for the options of that name; None
    stands for those of the configuration.
    With `provenance` it is said beside the image, in outputs that can hold that, how it was built: `max` with the
    values of arguments. `outputs` are written as for `lamina build -o`. `root` is the store's folder, `max_size` its
    limit in bytes (default: the store's own). `reporter` hears what happens. `after` is called when an image of one
    platform is there, while the store and the context are still open; the command notes there what a next build may
    rely on.

    Raises BuildFailure for everything that the user can mend; NotCached if `fail_on_miss` forbids a step to run.
    """
    wanted = out.parse_outputs(outputs, attested=provenance is not None)
    notes = parse_annotations(annotations)
    chosen = platforms(platform)
    if jobs is not None and jobs < 1:
        raise BuildFailure("usage-bad-arguments", f"{jobs} jobs build nothing", hint="write a number from 1 on")
    mounts, environment = _certificates(ca_certs)
    wish = (modes, source_date_epoch, reproducible)
    opened = Opened(context, dockerfile, contexts or {}, build_args or {}, store_root(root), runtime, wish, max_size)
    with workplace(opened) as place, ExitStack() as held:
        shop = place.shop
        caches = _shared_caches(cache_from, cache_to, place, reporter)
        shared = held.enter_context(_opened_caches(caches, shop, reporter or Reporter())) if caches else None
        options = replace(plan_options(platform, build_args, target, allow), labels=dict(labels or {}))
        request = replace(
            request_for(place, options),
            tags=tuple(reference(tag) for tag in tags) if out.keeps_name(wanted) else (),
            no_cache=no_cache,
            no_cache_stages=frozenset(no_cache_stages),
            pull=pull,
            network=network,
            run_mounts=mounts,
            run_env=environment,
            # A step mostly waits for the network or the disk, so there may be more of them than cores.
            jobs=jobs or max(4, os.cpu_count() or 1),
            secrets={name: _secret(value) for name, value in (secrets or {}).items()},
            ssh={name: Path(path) for name, path in (ssh or {}).items()},
            hosts=tuple(hosts),
            limits=tuple(limits),
            shm_size=shm_size,
            fail_on_miss=fail_on_miss,
            reuse=reuse,
            lazy=bool(wanted) and all(output.push for output in wanted) and (shared is None or shared.is_lazy),
            observe=place.located.configuration.observe if observe is None else observe,
        )
        out.check(wanted, request.tags, shop)
        folder = Path(cache_mount_root) if cache_mount_root is not None else None
        world = shop.world(place.reader, place.named.readers, place.named.images, folder)
        world = shared.attached(world) if shared is not None else world
        built = {one: build_for(one, request, shop, world, reporter or Reporter()) for one in host_last(chosen)}
        shop.store.images.only([str(tag) for tag in request.tags], [str(one) for one in chosen])
        results, manifest = tuple(built.values()), None
        # Before the outputs: what is pushed to the same registry is taken over from the cache there.
        use = shared.finish(results) if shared is not None else None
        # A time that comes from the commit changes without a trace in what a memo looks at.
        if after is not None and len(results) == 1 and place.same.epoch != "auto":
            after(shop, place.reader, results[0])
        own = _layers(results) if place.same.times is not None else frozenset()
        if provenance is not None:
            from lamina.workshop.provenance import attested  # here, because most builds attest nothing

            wanted = attested(wanted, results, request, provenance)
        for output in (replace(one, exact=own) for one in wanted):
            images = [built[one].image_id for one in chosen]
            manifest = out.export(shop, images, request.tags, output, notes, reporter or Reporter()) or manifest
        if request.lazy:  # those whose layers were left in the cache have no name until they are pushed
            for result in results:
                shop.catalog.add(ImageEntry(result.image_id), request.tags, time.time())
        return replace(results[-1], others=results[:-1], manifest=manifest, shared=use)


def forecast(
    context: str | os.PathLike[str] = ".",
    *,
    dockerfile: str | os.PathLike[str] | bytes | None = None,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str | None = None,
    contexts: Mapping[str, str | os.PathLike[str]] | None = None,
    allow: Sequence[str] = (),
    no_cache: bool = False,
    no_cache_stages: Sequence[str] = (),
    pull: bool = False,
    network: str = "default",
    hosts: Sequence[tuple[str, str]] = (),
    observe: bool | None = None,
    cache_from: Sequence[str] | None = None,
    modes: Modes | None = None,
    source_date_epoch: int | Literal["auto"] | None = None,
    reproducible: bool | None = None,
    root: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    after: Callable[[Workshop, DirectoryContext, Forecast], None] | None = None,
) -> Forecast:
    """Say what `build` would do with the same arguments, without doing it: no step runs, and no privilege is needed.

    Images and contexts that are elsewhere are asked for as a build does. `after` as for `build`. Raises BuildFailure.
    """
    from lamina.engine import forecast as engine  # here, because a build makes no forecast

    wish = (modes, source_date_epoch, reproducible)
    opened = Opened(context, dockerfile, contexts or {}, build_args or {}, store_root(root), "auto", wish)
    with workplace(opened) as place, ExitStack() as held:
        options = plan_options(platform, build_args, target, allow)
        request = replace(
            request_for(place, options),
            no_cache=no_cache,
            no_cache_stages=frozenset(no_cache_stages),
            pull=pull,
            network=network,
            hosts=tuple(hosts),
            observe=place.located.configuration.observe if observe is None else observe,
        )
        world = place.shop.world(place.reader, place.named.readers, place.named.images)
        caches = _shared_caches(cache_from, (), place, reporter)
        if caches:
            shared = held.enter_context(_opened_caches(caches, place.shop, reporter or Reporter()))
            world = shared.attached(world)
        found = engine.forecast(request, world, reporter or Reporter())
        if after is not None and place.same.epoch != "auto":
            after(place.shop, place.reader, found)
        return found


def key(
    context: str | os.PathLike[str] = ".",
    *,
    dockerfile: str | os.PathLike[str] | bytes | None = None,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str | None = None,
    labels: Mapping[str, str] | None = None,
    contexts: Mapping[str, str | os.PathLike[str]] | None = None,
    allow: Sequence[str] = (),
    pull: bool = False,
    network: str = "default",
    hosts: Sequence[tuple[str, str]] = (),
    modes: Modes | None = None,
    source_date_epoch: int | Literal["auto"] | None = None,
    reproducible: bool | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Digest:
    """The final key of what `build` would build with the same arguments: one digest over all that goes into the image.
    Equal keys mean equal inputs. No step runs; what is elsewhere is asked for. Raises BuildFailure.
    """
    from lamina.engine.identity import image_key
    from lamina.engine.resolve import job_of

    wish = (modes, source_date_epoch, reproducible)
    opened = Opened(context, dockerfile, contexts or {}, build_args or {}, store_root(root), "auto", wish)
    with workplace(opened) as place:
        options = replace(plan_options(platform, build_args, target, allow), labels=dict(labels or {}))
        request = replace(request_for(place, options), pull=pull, network=network, hosts=tuple(hosts))
        world = place.shop.world(place.reader, place.named.readers, place.named.images)
        return image_key(job_of(request, world, Reporter()))


def check(
    context: str | os.PathLike[str] | None = None,
    *,
    dockerfile: str | os.PathLike[str] | None = None,
    build_args: Mapping[str, str] | None = None,
    platform: str | None = None,
    skip: Collection[str] = (),
    enable: Collection[str] = (),
    root: str | os.PathLike[str] | None = None,
) -> Examined:
    """What `lamina check` finds in a Dockerfile: its `findings` have a rule, a severity, a message, a place, a hint.

    `context` is a directory, whose files are looked at too, or a Dockerfile alone; without it `dockerfile` is looked at
    alone, or the directory here. `skip` and `enable` are names of rules, or `all`. The store is only read.

    Raises BuildFailure `dockerfile-…` if the file cannot be parsed, `context-…`, `usage-…`; what else makes it unfit
    for a build is the answer's `failure`.
    """
    from lamina.workshop.checking import chosen, examine, source_of  # here, because a build checks nothing

    source = source_of(*(None if one is None else os.fspath(one) for one in (context, dockerfile)))
    return examine(source, platforms(platform)[0], chosen(skip, enable), dict(build_args or {}), root)


def advice(
    context: str | os.PathLike[str] = ".",
    *,
    dockerfile: str | os.PathLike[str] | None = None,
    build_args: Mapping[str, str] | None = None,
    target: str = "",
    platform: str | None = None,
    since: str = "",
    commits: int = 200,
    costs: Mapping[str, float] | None = None,
    varies: Sequence[str] = (),
    observe: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> Advice:
    """What `lamina advise` finds: what the order of a Dockerfile has cost over the git history of `context`, and the
    best other one; `saved` are seconds over these commits, `patch()` is the change as a unified diff.

    `since` is a revision or a date, `commits` the most that are replayed; `costs` are seconds by a step's line,
    stage/number or text, `varies` names of ARGs that each build gives another value. With `observe` the image is built
    once before. Otherwise nothing runs, and nothing is fetched.

    Raises BuildFailure `context-…`, `dockerfile-…`, `usage-…`.
    """
    from lamina.advise.advice import advise  # here, because a build asks for no advice
    from lamina.workshop.advising import Question, facts

    given = (build_args or {}, target, platform, since, commits, tuple((costs or {}).items()), varies, root)
    return advise(facts(Question(context, dockerfile, *given), build if observe else None).case)


def story(build: str = "", *, root: str | os.PathLike[str] | None = None) -> Story | None:
    """What became of each step of a past build, with keys, causes and costs: what `lamina explain` tells of. `build` is
    the beginning of its id; empty for the last one. None if there is no build yet, or its story is not known any more.

    Raises BuildFailure `store-build-…`.
    """
    with workshop(store_root(root)) as shop:
        builds = shop.store.builds
        found = builds.resolve(build) if build else next(iter(builds.last(1)), None)
        return builds.story(found.id, Story) if found is not None else None


def _layers(results: Sequence[BuildResult]) -> frozenset[DiffID]:
    """The layers that steps of these builds made, not those of base images."""
    steps = (step for result in results for stage in result.stages for step in stage.steps)
    return frozenset(step.record.diff_id for step in steps if step.record and step.record.diff_id)


def _shared_caches(
    cache_from: Sequence[str] | None, cache_to: Sequence[str] | None, place: Workplace, reporter: Reporter | None
) -> _Caches | None:
    from lamina.sharing.defaults import settled

    named = place.located.configuration.cache_from
    return settled(cache_from, cache_to, named, os.environ, reporter or Reporter())


def _opened_caches(caches: _Caches, shop: Workshop, reporter: Reporter) -> AbstractContextManager[Shared]:
    from lamina.sharing.cache import opened

    return opened(*caches, shop, reporter)


def _secret(value: bytes | os.PathLike[str] | Callable[[], bytes]) -> Callable[[], bytes]:
    if isinstance(value, bytes):
        return lambda: value
    return value if callable(value) else Path(value).read_bytes


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
