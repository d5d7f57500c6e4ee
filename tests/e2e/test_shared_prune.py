"""`lamina cache remote` and limits of `--cache-to`, on directories and real registries."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.command import Command, Completed, project
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.shared_machines import STEPS, Fleet, check_registry, tags

from lamina.oci.manifest import Manifest
from lamina.registry.cacheregistry import RegistryCache
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import DockerCredentials
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings
from lamina.sharing.documents import pack, unpack
from lamina.sharing.places import Limits
from lamina.sharing.prune import prune
from lamina.sharing.survey import MARKER
from lamina.workshop.parsing import reference

DAY = 86_400


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> str:
    return f"{tmp_path.name.replace('_', '-')}/cache"


def remote(machine: Command, *words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.run("cache", "remote", *words, "--json").ok().out)
    return found


def grow_old(folder: Path, days: float) -> None:
    """As if all in a directory had been written that long ago."""
    then = time.time() - days * DAY
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def registry_cache(server: RegistryServer, repository: str) -> RegistryCache:
    session = Session(RegistrySettings(), DockerCredentials(None))
    return RegistryCache(reference(f"{server.host}/{repository}"), session, session)


def grow_old_there(server: RegistryServer, repository: str, days: float) -> None:
    """As if the writers of all entries in a registry had had a clock that was so far back."""
    store = registry_cache(server, repository)
    client = RegistryClient(Session(RegistrySettings(), DockerCredentials(None)))
    for name in store.names():
        data = store.read(name)
        assert data is not None
        if name == MARKER:
            store.write(name, b"1", [])
            continue
        manifest, _ = client.manifest(reference(f"{server.host}/{repository}:{name}"))
        assert isinstance(manifest, Manifest)
        entries = [replace(one, written=one.written - days * DAY) for one in unpack(data, None)]
        store.write(name, pack(entries, None), manifest.layers)


def ran(done: Completed) -> set[str]:
    return set(done.ok().verdicts())


def test_what_a_directory_holds(fleet: Fleet, tmp_path: Path) -> None:
    place, machine = f"type=local,dest={tmp_path / 'c'}", fleet.machine()
    machine.build(fleet.checkout(), "--cache-to", f"{place},writer=ann\x1b[2J").ok()
    machine.build(fleet.checkout(src_a="2"), "--cache-to", f"{place},writer=bob").ok()
    found = remote(machine, "du", place)
    files = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert (found["steps"], found["foreign"], found["loose"]) == (STEPS + 2, 0, {"blobs": 0, "bytes": 0})
    assert {one["writer"]: one["steps"] for one in found["writers"]} == {"ann?[2J": STEPS, "bob": 2}
    assert found["oldest"] <= found["newest"] <= time.time() + 1
    told = machine.run("cache", "remote", "du", place).ok().out
    assert "ann?[2J" in told and "\x1b" not in told
    nothing = remote(machine, "du", f"type=local,dest={tmp_path / 'absent'}")
    assert (nothing["steps"], nothing["bytes"], nothing["oldest"]) == (0, 0, None)
    assert not (tmp_path / "absent").exists()


def test_age_and_use_in_a_directory(fleet: Fleet, tmp_path: Path) -> None:
    """What a writing build hits is marked as used; the rest goes, with its blobs and explanations."""
    folder, place = tmp_path / "c", f"type=local,dest={tmp_path / 'c'}"
    both = ("--cache-from", place, "--cache-to", place)
    first = fleet.machine().build(fleet.checkout(), *both).ok()
    fleet.machine().build(fleet.checkout(src_a="other"), *both).ok()
    grow_old(folder, 40)
    assert ran(fleet.machine().build(fleet.checkout(), *both)) == set()
    would = remote(fleet.machine(), "prune", place, "--max-age", "30d", "--dry-run")
    assert would["removed"]["steps"] == 2
    assert remote(fleet.machine(), "du", place)["steps"] == STEPS + 2
    done = remote(fleet.machine(), "prune", place, "--max-age", "30d")
    assert done["removed"]["steps"] == 2 and done["removed"]["blobs"] >= 2 and done["removed"]["documents"] == 6
    after = remote(fleet.machine(), "du", place)
    assert (after["steps"], after["loose"]["blobs"]) == (STEPS, 0)
    again = fleet.machine().build(fleet.checkout(), "--cache-from", place)
    assert (ran(again), again.image) == (set(), first.image)


def test_a_budget_for_a_directory(fleet: Fleet, tmp_path: Path) -> None:
    folder, place = tmp_path / "c", f"type=local,dest={tmp_path / 'c'}"
    machine = fleet.machine()
    machine.build(fleet.checkout(), "--cache-to", place).ok()
    young = machine.run("cache", "remote", "prune", place, "--max-size", "0B").ok()
    assert young.out.startswith("removed nothing") and "younger than an hour" in young.err
    grow_old(folder, 1)
    other = fleet.checkout()
    (other / "requirements.txt").write_text("y==2")
    fleet.machine().build(other, "--cache-to", place).ok()
    done = remote(machine, "prune", place, "--max-size", "330kB")
    assert 0 < done["removed"]["left"] <= 330_000 and done["removed"]["blobs"]
    assert ran(fleet.machine().build(other, "--cache-from", place)) == set()
    assert ran(fleet.machine().build(fleet.checkout(), "--cache-from", place)) != set()


def test_what_is_damaged_or_of_another_version(fleet: Fleet, tmp_path: Path) -> None:
    folder, place = tmp_path / "c", f"type=local,dest={tmp_path / 'c'}"
    fleet.machine().build(fleet.checkout(), "--cache-to", place).ok()
    (folder / "entries" / ("k-" + "0" * 64)).write_bytes(b"lmc\0damaged")
    (folder / "entries" / "README").write_text("not ours")
    (folder / "blobs" / ("1" * 64)).write_bytes(b"loose")
    (folder / "drafts" / "left").write_bytes(b"of a killed writer")
    foreign = folder / "entries" / ("k-" + "2" * 64)
    foreign.write_bytes(b"lmc\7from the future")
    grow_old(folder, 2)
    removed = remote(fleet.machine(), "prune", place)["removed"]
    assert (removed["documents"], removed["blobs"], removed["foreign"]) == (1, 0, 1)
    foreign.unlink()
    removed = remote(fleet.machine(), "prune", place)["removed"]
    assert (removed["documents"], removed["blobs"], removed["foreign"]) == (0, 1, 0)
    assert (folder / "entries" / "README").exists() and not (folder / "drafts" / "left").exists()
    assert ran(fleet.machine().build(fleet.checkout(), "--cache-from", place)) == set()


def test_an_entry_whose_layer_is_gone_is_removed_or_mended(fleet: Fleet, tmp_path: Path) -> None:
    folder, place = tmp_path / "c", f"type=local,dest={tmp_path / 'c'}"
    machine = fleet.machine()
    machine.build(fleet.checkout(), "--cache-to", place).ok()
    largest = max((folder / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    largest.unlink()
    grow_old(folder, 2)
    assert remote(machine, "prune", place, "--dry-run")["removed"]["steps"] == 1
    # A writer that has the step looks when it marks the entry as used.
    machine.build(fleet.checkout(), "--cache-to", place).ok()
    assert largest.exists()
    assert ran(fleet.machine().build(fleet.checkout(), "--cache-from", place)) == set()


def test_a_registry(fleet: Fleet, server: RegistryServer, repository: str) -> None:
    """Manifests go, also when one that was marked as used has another digest; the registry stays whole."""
    place = f"{server.host}/{repository}"
    both = ("--cache-from", place, "--cache-to", place)
    first = fleet.machine().build(fleet.checkout(), *both).ok()
    fleet.machine().build(fleet.checkout(src_a="other"), *both).ok()
    machine = fleet.machine()
    found = remote(machine, "du", place)
    assert (found["steps"], found["loose"]) == (STEPS + 2, None) and found["bytes"] > 300_000
    assert remote(machine, "prune", place, "--max-age", "30d")["removed"]["documents"] == 0
    grow_old_there(server, repository, 40)
    assert ran(fleet.machine().build(fleet.checkout(), *both)) == set()
    done = machine.run("cache", "remote", "prune", place, "--max-age", "30d").ok()
    assert done.out.startswith("removed 2 steps, ") and "garbage" in done.err
    assert remote(machine, "du", place)["steps"] == STEPS
    check_registry(server, repository)
    again = fleet.machine().build(fleet.checkout(), "--cache-from", place)
    assert (ran(again), again.image) == (set(), first.image)
    rest = fleet.machine().build(fleet.checkout(src_a="other"), "--cache-from", place)
    assert ran(rest) == {"COPY src /app", "RUN cat /app/a /app/b > /out"}


def test_other_tags_of_the_repository_stay(fleet: Fleet, server: RegistryServer, repository: str) -> None:
    place, machine = f"{server.host}/{repository}", fleet.machine()
    machine.build(fleet.checkout(), "-t", f"{place}:1.0", "--push", "--cache-to", place).ok()
    machine.run("tag", f"{place}:1.0", f"{place}:k-{'0' * 64}").ok()
    machine.run("push", f"{place}:k-{'0' * 64}").ok()
    prune(registry_cache(server, repository), Limits(max_size=0), grace=-60)
    assert sorted(tags(server, repository)) == sorted(["1.0", f"k-{'0' * 64}", MARKER])
    subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{place}:1.0"], check=True, capture_output=True
    )


def test_a_registry_that_deletes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    with running_registry(tmp_path / "reg", delete=False) as server:
        place = f"{server.host}/team/cache"
        fleet.machine().build(fleet.checkout(), "--cache-to", place).ok()
        grow_old_there(server, "team/cache", 40)
        refused = fleet.machine().run("cache", "remote", "prune", place, "--max-age", "30d")
        assert refused.code == 6 and "[registry-no-deletion]" in refused.err
        assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in refused.err
        registry_cache(server, "team/cache").write(MARKER, b"1", [])
        built = fleet.machine().build(fleet.checkout(src_a="new"), "--cache-to", f"{place},max-age=30d").ok()
        assert len(built.warnings) == 1 and "does not let manifests be deleted" in built.warnings[0]
        assert ran(fleet.machine().build(fleet.checkout(), "--cache-from", place)) == set()


@pytest.mark.parametrize("kind", ["local", "registry"])
def test_limits_of_a_build(fleet: Fleet, server: RegistryServer, repository: str, tmp_path: Path, kind: str) -> None:
    """The first build of a day clears away, those that follow do not."""
    folder = tmp_path / "c"
    place = f"type=local,dest={folder}" if kind == "local" else f"type=registry,ref={server.host}/{repository}"

    def age(days: float) -> None:
        if kind == "local":
            grow_old(folder, days)
            (folder / "entries" / MARKER).write_bytes(b"1")
        else:
            grow_old_there(server, repository, days)

    limited = ("--cache-to", f"{place},max-age=30d")
    first = fleet.machine().build(fleet.checkout(), *limited).ok()
    assert "clearing away" in first.err
    age(40)
    second = fleet.machine().build(fleet.checkout(src_a="y"), "--cache-from", place, *limited).ok()
    assert "clearing away" in second.err and second.warnings == []
    assert remote(fleet.machine(), "du", place)["steps"] == STEPS
    third = fleet.machine().build(fleet.checkout(src_a="y"), "--cache-to", f"{place},max-size=1B").ok()
    assert "clearing away" not in third.err
    assert ran(fleet.machine().build(fleet.checkout(src_a="y"), "--cache-from", place)) == set()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("du",), "PLACE"),
        (("prune", "r.example/a", "--max-size", "much"), "is not a size"),
        (("prune", "r.example/a", "--max-age", "old"), "is not an age"),
        (("du", "type=inline"), "there is no cache type 'inline'"),
        (("prune", "type=local"), "dest is missing"),
        (("du", "type=local,dest=/dev/null/x"), ""),
        (("grow", "r.example/a"), "invalid choice"),
    ],
)
def test_words_that_are_not_understood(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = Command(tmp_path / "store").run("cache", "remote", *words)
    assert done.code == (2 if told else 0) and told in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("limit", ["max-size=much", "max-age=30"])
def test_limits_that_are_none(tmp_path: Path, fleet: Fleet, limit: str) -> None:
    done = Command(tmp_path / "s").run("build", "--cache-to", f"type=local,dest=/x,{limit}", fleet.checkout())
    assert done.code == 2 and "is not a" in done.err


def test_the_configuration_names_caches(fleet: Fleet, server: RegistryServer, repository: str, tmp_path: Path) -> None:
    """The user's file says where to write and what to trust, the project's what to read."""
    place = f"{server.host}/{repository}"
    mine = tmp_path / ".config" / "lamina" / "config.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text(f'cache-to = ["{place}"]\n')
    fleet.machine().build(fleet.checkout()).ok()
    assert len(tags(server, repository)) > STEPS
    mine.write_text("")
    named = fleet.checkout()
    (named / "lamina.toml").write_text(f'cache-from = ["{place}"]\n')
    wary = fleet.machine().build(named)
    assert len(ran(wary)) == STEPS and "is not used" in wary.warnings[0]
    mine.write_text(f'trusted-caches = ["{server.host}"]\n')
    trusting = fleet.machine().build(named)
    assert (ran(trusting), trusting.warnings) == (set(), [])
    plan = fleet.machine().run("plan", "--json", named).ok()
    assert {step["origin"] for step in json.loads(plan.out)["steps"] if step["how"]} == {"shared"}
    alone = fleet.machine().build(named, "--no-shared-cache")
    assert len(ran(alone)) == STEPS and "shared" not in alone.result
    forbidden = project(tmp_path / "bad", "FROM busybox\n", {"lamina.toml": f'cache-to = ["{place}"]\n'})
    refused = fleet.machine().build(forbidden)
    assert refused.code == 2 and "cannot say where a build writes" in refused.err
