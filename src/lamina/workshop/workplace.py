"""What a build, a forecast and a key begin with: an open store, the context, the Dockerfile, and the request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from lamina.context.ignore_file import load_rules
from lamina.context.modes import Modes
from lamina.context.reader import DirectoryContext
from lamina.engine.request import BuildRequest
from lamina.oci.platform import Platform
from lamina.plan.args import SOURCE_DATE_EPOCH
from lamina.plan.steps import PlanOptions
from lamina.workshop import locate
from lamina.workshop.parsing import host_platform, platforms
from lamina.workshop.sameness import Sameness, settle
from lamina.workshop.wire import Workshop, workshop


class Opened(Struct, frozen=True):
    """What says where everything is: see `lamina.build`. `same` holds `modes`, `source_date_epoch`, `reproducible`."""

    context: str | os.PathLike[str]
    dockerfile: str | os.PathLike[str] | bytes | None
    contexts: Mapping[str, str | os.PathLike[str]]
    build_args: Mapping[str, str]
    root: Path
    runtime: str
    same: tuple[Modes | None, int | Literal["auto"] | None, bool | None]
    max_size: int | None = None


class Workplace(Struct, frozen=True):
    """An open store, and everything of the user's that a build or a plan reads."""

    shop: Workshop
    located: locate.Located
    named: locate.NamedContexts
    reader: DirectoryContext
    same: Sameness


@contextmanager
def workplace(given: Opened) -> Iterator[Workplace]:
    """Find the context and the Dockerfile, those that are here before the store is opened. Raises BuildFailure."""
    context, dockerfile = given.context, given.dockerfile
    located = None if locate.is_elsewhere(context) else locate.here(context, dockerfile)
    with workshop(given.root, given.runtime, max_size=given.max_size) as shop, ExitStack() as held:
        located = located or locate.fetched(context, dockerfile, shop, held, given.build_args)
        same = settle(located.configuration, *given.same)
        named = locate.named_contexts(given.contexts, shop, held, same)
        yield Workplace(shop, located, named, held.enter_context(closing(_reader(located, shop, same))), same)


def plan_options(
    platform: str | None, build_args: Mapping[str, str] | None, target: str, allow: Sequence[str]
) -> PlanOptions:
    return PlanOptions(
        platform=host_last(platforms(platform))[-1],
        build_platform=host_platform(),
        build_args=dict(build_args or {}),
        target=target,
        allow=frozenset(allow),
    )


def request_for(place: Workplace, options: PlanOptions) -> BuildRequest:
    """What a build and a forecast have in common."""
    located = place.located
    wanted = place.same.image_time(located.directory)
    if wanted is not None:
        options = replace(options, build_args={SOURCE_DATE_EPOCH: str(wanted), **options.build_args})
    return BuildRequest(
        build="",
        dockerfile=located.text,
        file=located.name,
        project=located.project,
        options=replace(options, contexts=place.named.values),
        # With the commit's own time a step that is cached since an earlier one would come out otherwise elsewhere.
        step_epoch=wanted if place.same.times is None else place.same.times,
        times=place.same.times,
    )


def host_last(chosen: Sequence[Platform]) -> list[Platform]:
    """In the order of building: a name that is asked for without a platform means what it was given last."""
    host = host_platform()
    return sorted(chosen, key=lambda one: one == host)


def _reader(located: locate.Located, shop: Workshop, same: Sameness) -> DirectoryContext:
    if located.elsewhere:
        return DirectoryContext(located.directory, modes=same.modes, earliest=same.times)
    rules = load_rules(located.directory, located.path)
    cache = shop.store.layout.root / "contexts"
    return DirectoryContext(located.directory, rules=rules, cache=cache, modes=same.modes, earliest=same.times)
