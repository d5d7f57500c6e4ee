"""The operations that meet faults at random: what each does, on what, and what is right afterwards."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.random_faults import damage, damage_folder, tamper
from tests.faults.random_site import Hasty, Site, build, digest, tagged
from tests.support.command import Completed

#: A build whose digest is known; a name follows.
BUILD = ("build", "-q", "--reproducible", "-t")


@dataclass
class Case:
    """An operation on one machine. `right` lists what is wrong of a success; `out` is the file that it writes, if it
    does. A `free` operation may not fail because of the network. `inputs` may be damaged beforehand; `mend` undoes it.
    `repository` is where it writes in the registry; of a `bucket` faults meet the requests to the bucket instead."""

    machine: Hasty
    words: list[str | Path]
    right: Callable[[Completed], Iterator[str]]
    repository: str = ""
    out: Path | None = None
    online: bool = True
    free: bool = False
    runs: bool = False
    spoil: Callable[[random.Random], list[str]] | None = None
    mend: Callable[[], object] = lambda: None
    #: Whether a success with damaged inputs must be right, too: a changed tar of files is another tar of files.
    strict: bool = True
    bucket: bool = False


# --- the operations --------------------------------------------------------------------------------------------------
def _push(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.built), f"r{seed}/app"
    name = f"{site.proxy.host}/{repository}:1"
    machine.run("tag", "app", name).ok()

    def right(done: Completed) -> Iterator[str]:
        if done.out.strip() != site.manifest or tagged(site.server, repository) != site.manifest:
            yield f"pushed {done.out.strip()}, the tag has {tagged(site.server, repository)}"

    return Case(machine, ["push", "-q", name], right, repository)


def _pull(site: Site, seed: int, folder: Path) -> Case:
    machine = Hasty(folder / "store", env={"HOME": str(site.folder)})
    machine.run("images").ok()
    name = f"{site.proxy.host}/images/app:1"

    def right(done: Completed) -> Iterator[str]:
        if done.out.strip() != site.manifest:
            yield f"pulled {done.out.strip()}"
        yield from same_files(site, machine, name, folder)

    return Case(machine, ["pull", "-q", name], right)


def same_files(site: Site, machine: Hasty, name: str, folder: Path) -> Iterator[str]:
    tar = folder / "seen.tar"
    done = machine.run("export", name, "-o", tar)
    if done.code or digest(tar) != site.files:
        yield f"the image's files are others: {done.err}"
    tar.unlink(missing_ok=True)


def built(site: Site, machine: Hasty, folder: Path) -> Callable[[Completed], Iterator[str]]:
    def right(done: Completed) -> Iterator[str]:
        image = machine.run("inspect", "app")
        if site.image not in image.out + done.out:
            yield f"built another image: {image.out}{image.err}"
        yield from same_files(site, machine, "app", folder)

    return right


def _cache_to(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.plain), f"r{seed}/cache"
    words: list[str | Path] = [
        *BUILD,
        "app",
        "--cache-to",
        _cache(site, repository),
        site.context,
    ]
    return Case(machine, words, built(site, machine, folder), repository, free=True, runs=True)


def _cache(site: Site, repository: str) -> str:
    return f"type=registry,ref={site.proxy.host}/{repository},timeout=1"


def _cache_from(site: Site, seed: int, folder: Path) -> Case:
    machine = site.machine(folder / "store", site.plain)
    words: list[str | Path] = [
        *BUILD,
        "app",
        "--cache-from",
        _cache(site, "images/cache"),
        site.context,
    ]
    return Case(machine, words, built(site, machine, folder), "images/cache", free=True, runs=True)


def _cached_push(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.plain), f"r{seed}/app"
    name = f"{site.proxy.host}/{repository}:1"
    words: list[str | Path] = [
        *BUILD,
        name,
        "--push",
        "--cache-from",
        _cache(site, "images/cache"),
    ]

    def right(done: Completed) -> Iterator[str]:
        if tagged(site.server, repository) != site.manifest:
            yield f"the tag has {tagged(site.server, repository)}"

    return Case(machine, [*words, site.context], right, repository, runs=True)


def _tampered(site: Site, seed: int, folder: Path) -> Case:
    machine, repository = site.machine(folder / "store", site.plain), f"r{seed}/cache"
    writer = site.machine(folder / "writer", site.built)
    direct = f"type=registry,ref={site.server.host}/{repository}"
    build(writer, site.context, "--no-cache", "--cache-to", direct).ok()
    cache = _cache(site, repository)
    words: list[str | Path] = [
        *BUILD,
        "app",
        "--cache-from",
        cache,
        "--cache-to",
        cache,
        site.context,
    ]

    def spoil(chance: random.Random) -> list[str]:
        return tamper(site.server, repository, chance)

    return Case(machine, words, built(site, machine, folder), repository, free=True, runs=True, spoil=spoil)


def _folder_cache(site: Site, seed: int, folder: Path) -> Case:
    machine, place = site.machine(folder / "store", site.plain), folder / "cache"
    shutil.copytree(site.cache, place)
    both = [f"--cache-{way}=type=local,dest={place}" for way in ("from", "to")]
    words: list[str | Path] = [*BUILD, "app", *both, site.context]

    return Case(
        machine,
        words,
        built(site, machine, folder),
        online=False,
        free=True,
        runs=True,
        spoil=lambda chance: damage_folder(place, chance),
    )


def _archive(site: Site, seed: int, folder: Path) -> Case:
    machine, out = site.machine(folder / "store", site.built), folder / "layout.tar"
    words: list[str | Path] = [*BUILD, "app", "-o", f"type=oci,dest={out}", site.context]

    def right(done: Completed) -> Iterator[str]:
        if not out.exists() or digest(out) != digest(site.layout):
            yield "the archive is another"

    return Case(machine, words, right, out=out, online=False, runs=True)


def _save(site: Site, seed: int, folder: Path) -> Case:
    machine, out = site.machine(folder / "store", site.built), folder / "saved.tar"

    def right(done: Completed) -> Iterator[str]:
        if not out.exists() or digest(out) != digest(site.saved):
            yield "the archive is another"

    return Case(machine, ["save", "app", "-o", out], right, out=out, online=False)


def _export(site: Site, seed: int, folder: Path) -> Case:
    machine, out = site.machine(folder / "store", site.built), folder / "exported.tar"

    def right(done: Completed) -> Iterator[str]:
        if not out.exists() or digest(out) != site.files:
            yield "the tar is another"

    return Case(machine, ["export", "app", "-o", out], right, out=out, online=False)


def _load(site: Site, seed: int, folder: Path) -> Case:
    machine, source = site.machine(folder / "store", site.plain), folder / "archive.tar"
    whole = site.saved if seed % 2 else site.layout
    shutil.copy(whole, source)

    def right(done: Completed) -> Iterator[str]:
        if "app:latest" not in done.out:
            yield f"loaded {done.out}"
        yield from same_files(site, machine, "app", folder)

    return Case(
        machine,
        ["load", "-i", source],
        right,
        online=False,
        spoil=lambda chance: [damage(source, chance)] if chance.random() < 0.6 else [],
        mend=lambda: shutil.copy(whole, source),
        strict=False,
    )


def _import(site: Site, seed: int, folder: Path) -> Case:
    machine, source = Hasty(folder / "store", env={"HOME": str(site.folder)}), folder / "root.tar"
    machine.run("images").ok()
    shutil.copy(site.root, source)

    def right(done: Completed) -> Iterator[str]:
        if done.out.strip() != site.imported:
            yield f"imported {done.out}"

    return Case(
        machine,
        ["import", source, "busybox", "--env", "PATH=/bin"],
        right,
        online=False,
        spoil=lambda chance: [damage(source, chance, flips=False)] if chance.random() < 0.6 else [],
        mend=lambda: shutil.copy(site.root, source),
    )


CASES: dict[str, Callable[[Site, int, Path], Case]] = {
    "push": _push,
    "pull": _pull,
    "cache-to": _cache_to,
    "cache-from": _cache_from,
    "cached-push": _cached_push,
    "tampered": _tampered,
    "folder-cache": _folder_cache,
    "archive": _archive,
    "save": _save,
    "export": _export,
    "load": _load,
    "import": _import,
}
