"""The shared cache in an S3 bucket meets faults at random: moto's server behind the proxy."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.random_cases import BUILD, Case, built
from tests.faults.random_faults import damaged
from tests.faults.random_site import Site, build
from tests.support.bucket_server import delete_object, object_keys, read_object, write_object
from tests.support.command import Completed
from tests.support.waiting import removed


def _cache(site: Site, prefix: str) -> str:
    """The cache as faults are met on the way to it."""
    return f"{site.bucket.at(site.bucket_proxy.host).place},prefix={prefix},timeout=1"


def _served(
    site: Site, prefix: str, folder: Path, right: Callable[[Completed], Iterator[str]]
) -> Callable[..., Iterator[str]]:
    """`right`, and that whatever is in the bucket now gives another machine the right image."""

    def checked(done: Completed) -> Iterator[str]:
        yield from right(done)
        reader = site.machine(folder / "reader", site.plain)
        try:
            words = (*BUILD, "app", "--cache-from", f"{site.bucket.place},prefix={prefix}", site.context)
            again = reader.run(*words)
            yield from built(site, reader, folder)(again)
        finally:
            removed(reader.root)

    return checked


def _bucket_to(site: Site, seed: int, folder: Path) -> Case:
    machine, prefix = site.machine(folder / "store", site.plain), f"r{seed}"
    words: list[str | Path] = [*BUILD, "app", "--cache-to", _cache(site, prefix), site.context]
    right = _served(site, prefix, folder, built(site, machine, folder))
    return Case(machine, words, right, free=True, runs=True, bucket=True)


def _bucket_from(site: Site, seed: int, folder: Path) -> Case:
    """From a cache in which some objects are damaged, deleted, or have what others had."""
    machine, prefix = site.machine(folder / "store", site.plain), f"r{seed}"
    writer = site.machine(folder / "writer", site.built)
    build(writer, site.context, "--no-cache", "--cache-to", f"{site.bucket.place},prefix={prefix}").ok()
    cache = _cache(site, prefix)
    words: list[str | Path] = [*BUILD, "app", "--cache-from", cache, "--cache-to", cache, site.context]

    def spoil(chance: random.Random) -> list[str]:
        return _damage(site, prefix, chance)

    right = _served(site, prefix, folder, built(site, machine, folder))
    return Case(machine, words, right, free=True, runs=True, spoil=spoil, bucket=True)


def _damage(site: Site, prefix: str, chance: random.Random) -> list[str]:
    told = []
    for _ in range(chance.randrange(1, 4)):
        keys = object_keys(site.bucket, prefix)
        one, other = chance.choice(keys), chance.choice(keys)
        match chance.randrange(4):
            case 0 | 1:
                data, how = damaged(read_object(site.bucket, one), chance)
                write_object(site.bucket, one, data)
                told.append(f"{one[-16:]} {how}")
            case 2:
                delete_object(site.bucket, one)
                told.append(f"{one[-16:]} deleted")
            case 3:
                write_object(site.bucket, one, read_object(site.bucket, other))
                told.append(f"{one[-16:]} has what {other[-16:]} had")
    return told


CASES: dict[str, Callable[[Site, int, Path], Case]] = {"bucket-to": _bucket_to, "bucket-from": _bucket_from}
