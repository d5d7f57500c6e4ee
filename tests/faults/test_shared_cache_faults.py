"""Builds whose shared cache breaks at random places: each ends well and right, and nothing wrong is kept anywhere."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from tests.support.command import Command, finish
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.shared_machines import STEPS, Fleet, check_registry

ALWAYS = 1000
PATHS = ("/manifests/k-", "/manifests/a-", "/manifests/", "/blobs/sha256", "/blobs/uploads", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


def random_fault(chance: random.Random) -> Fault:
    path, times = chance.choice(PATHS), chance.choice((1, 1, 2, 5, ALWAYS))
    method = chance.choice(("", "", "GET", "PUT", "POST", "HEAD", "PATCH"))
    after = chance.choice((0, 1, 50, 300, 5000))
    match chance.randrange(8):
        case 0:
            return Fault("status", path, method, times, status=chance.choice((400, 401, 403, 404, 416, 429, 500, 503)))
        case 1:
            kinds: tuple[Kind, ...] = ("cut", "end", "short", "long", "unannounced")
            return Fault(chance.choice(kinds), path, method, times, after=after)
        case 2:
            return Fault("corrupt", path, method, times, after=after)
        case 3:
            return Fault("hang", path, method, 1, after=after, seconds=3)
        case 4:
            return Fault("delay", path, method, times, seconds=chance.choice((0.05, 0.2)))
        case 5:
            return Fault("cut-upload", path, "", times, after=after)
        case 6:
            return Fault("redirect", path, method, times, location="http://127.0.0.1:1/elsewhere")
    others: tuple[Kind, ...] = ("refuse", "digest", "ignore-range", "cut-through", "corrupt-upload", "lost-answer")
    return Fault(chance.choice(others), path, method, times, after=after)


def check_image(machine: Command, name: str, out: str) -> None:
    assert machine.run("run", name, "cat", "/out").ok().out == out
    machine.verify()


def break_builds(fleet: Fleet, server: RegistryServer, seed: int, builds: int) -> None:
    """Build with a cache that breaks, from empty stores, with changing files."""
    chance = random.Random(seed)
    repository = f"faults/seed-{seed}"
    with FaultProxy(server.host) as proxy:
        words = f"type=registry,ref={proxy.host}/{repository},timeout=1"
        for number in range(builds):
            machine, text = fleet.machine(), chance.choice(("1\n", "other\n", "third\n"))
            proxy.plan(*(random_fault(chance) for _ in range(chance.randrange(1, 4))))
            done = machine.build(
                *(fleet.checkout(src_a=text), "-t", "app", "--cache-from", words, "--cache-to", words),
            )
            assert done.code == 0, (seed, number, done.err)
            assert "Traceback" not in done.err, done.err
            check_image(machine, "app", f"{text}2\n")
        proxy.plan()
        words = words.removesuffix(",timeout=1")
        machine = fleet.machine()
        machine.build(fleet.checkout(), "-t", "app", "--cache-from", words, "--cache-to", words).ok()
        last = fleet.machine().build(fleet.checkout(), "-t", "app", "--cache-from", words)
        assert last.verdicts() == {} and last.result["shared"]["hits"] == STEPS
    check_registry(server, repository)


@pytest.mark.parametrize("seed", range(6))
def test_faults_at_random(fleet: Fleet, server: RegistryServer, seed: int) -> None:
    break_builds(fleet, server, seed, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_many_faults_at_random(fleet: Fleet, server: RegistryServer, seed: int) -> None:
    break_builds(fleet, server, seed, 10)


@pytest.mark.parametrize("wait", [0.0, 0.1, 0.3])
def test_a_killed_build_leaves_no_half_entry(fleet: Fleet, server: RegistryServer, wait: float) -> None:
    repository = f"killed/after-{int(wait * 10)}"
    with FaultProxy(server.host) as proxy:
        proxy.plan(Fault("delay", "/blobs/uploads", times=ALWAYS, seconds=0.1))
        words = f"type=registry,ref={proxy.host}/{repository}"
        process = fleet.machine().start("build", "--cache-to", words, fleet.checkout())
        while not any(method in ("PATCH", "PUT") for method, _, _ in tuple(proxy.seen)):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        process.kill()
        finish(process)
    words = f"type=registry,ref={server.host}/{repository}"
    machine = fleet.machine()
    machine.build(fleet.checkout(), "-t", "app", "--cache-from", words, "--cache-to", words).ok()
    check_image(machine, "app", "1\n2\n")
    assert fleet.machine().build(fleet.checkout(), "--cache-from", words).verdicts() == {}
    check_registry(server, repository)
