"""Builders and somebody who clears away, all at once, each a process of its own: no build is any the worse for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import finish
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.shared_machines import STEPS, Fleet, check_registry
from tests.support.waiting import PATIENCE

from lamina.registry.cachefolder import FolderCache
from lamina.registry.cacheregistry import RegistryCache
from lamina.registry.cachestore import CacheStore
from lamina.registry.credentials import DockerCredentials
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings
from lamina.sharing.places import Limits
from lamina.sharing.prune import prune
from lamina.sharing.survey import survey
from lamina.workshop.parsing import reference

ROOT = Path(__file__).parents[2]
#: Less than a build takes to name what it sent, so that every precaution is needed.
GRACE = "0.3"
ROUNDS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(params=["folder", "registry"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, CacheStore]:
    """What the options say, and the place."""
    if request.param == "folder":
        return f"type=local,dest={tmp_path / 'c'}", FolderCache(tmp_path / "c")
    name = f"{request.getfixturevalue('server').host}/{tmp_path.name.replace('_', '-')}/cache"
    session = Session(RegistrySettings(), DockerCredentials(None))
    return f"type=registry,ref={name}", RegistryCache(reference(name), session, session)


def test_three_builders_and_one_who_clears_away(
    tmp_path: Path, busybox_store: Path, cache: tuple[str, CacheStore], request: pytest.FixtureRequest
) -> None:
    words, store = cache
    fleet = Fleet(tmp_path, busybox_store)
    pruner = subprocess.Popen(
        [sys.executable, "-m", "tests.support.cache_pruner", words, GRACE],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    both = ("--cache-from", words, "--cache-to", words)
    try:
        for turn in range(ROUNDS):
            contexts = [fleet.checkout(), fleet.checkout(), fleet.checkout(src_a=f"{turn}\n")]
            machines = [fleet.machine() for _ in contexts]
            builds = [
                machine.start("build", "-t", "app", *both, context)
                for machine, context in zip(machines, contexts, strict=True)
            ]
            for build, machine, first in zip(builds, machines, ("1\n", "1\n", f"{turn}\n"), strict=True):
                finish(build).ok()
                assert machine.run("run", "app", "cat", "/out").ok().out == f"{first}2\n"
                machine.verify()
    finally:
        said, _ = pruner.communicate("enough\n", timeout=PATIENCE)
    assert pruner.returncode == 0
    rounds, documents, _ = map(int, said.split())
    assert rounds >= 3 and documents >= 3

    # Whatever was left at the last moment, one more clearing leaves only what is whole.
    prune(store, Limits(), grace=-60)
    found = survey(store)
    for known in found.documents.values():
        assert known.steps and not known.foreign
        layers = [] if known.is_note else [step.layer for step in known.steps]
        assert not layers or any(store.has(layer) for layer in layers)
    if isinstance(store, RegistryCache):
        check_registry(request.getfixturevalue("server"), store.reference.repository)
    fleet.machine().build(fleet.checkout(), *both).ok()
    last = fleet.machine().build(fleet.checkout(), *both).ok()
    assert last.result["shared"]["hits"] == STEPS
