"""Which shared caches a build has that was told of none: those of the user's `config.toml` and of `lamina.toml`.

Only the user says where steps are written, and what is believed. A cache gives layers for keys, and the store keeps
them for all projects: if any project could name a cache, that could have a bad layer for the first steps of another
project, which would be found in the store from then on. So the caches that a project names count where the user trusts
them, and they are names of repositories alone: the attributes of buckets could send credentials elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.diagnostics import Diagnostic
from lamina.workshop.config import NAME

if TYPE_CHECKING:
    from lamina.events import Reporter
    from lamina.sharing.places import CacheFrom, CacheTo


def settled(
    cache_from: Sequence[str] | None,
    cache_to: Sequence[str] | None,
    named: Sequence[str],
    environment: Mapping[str, str],
    reporter: Reporter,
) -> tuple[tuple[CacheFrom, ...], tuple[CacheTo, ...]] | None:
    """The caches of a build, None if it has none. What is not None replaces the defaults; `named` is what the project's
    `lamina.toml` names. Raises BuildFailure `usage-cache`, `usage-configuration`."""
    if cache_from is None or cache_to is None:
        from lamina.workshop.user_caches import user_caches

        mine = user_caches(environment)
        if cache_from is None:
            trusted = [name for name in named if _is_trusted(name, mine.trusted_caches)]
            _warn([name for name in named if name not in trusted], reporter)
            cache_from = (*mine.cache_from, *(name for name in trusted if name not in mine.cache_from))
        cache_to = mine.cache_to if cache_to is None else cache_to
    if not cache_from and not cache_to:
        return None
    from lamina.sharing.places import parse_from, parse_to  # here, because most builds have no shared cache

    return tuple(map(parse_from, cache_from)), tuple(map(parse_to, cache_to))


def _is_trusted(name: str, trusted: Sequence[str]) -> bool:
    """Whether a repository is one of these or below one: `r.example/team` stands for `r.example/team/cache` too."""
    from lamina.workshop.parsing import reference

    found = reference(name)
    parts = [found.registry, *found.repository.split("/")]
    for one in trusted:
        wanted = one.strip("/").split("/")
        if parts[: len(wanted)] == wanted:
            return True
    return False


def _warn(names: Sequence[str], reporter: Reporter) -> None:
    for name in names:
        told = f"the cache {name} that {NAME} names is not used, for you have not said that you trust it"
        hint = f'write trusted-caches = ["{name}"] into ~/.config/lamina/config.toml, or give --cache-from'
        reporter.warning(Diagnostic("usage-cache", told, severity="warning", hint=hint))
