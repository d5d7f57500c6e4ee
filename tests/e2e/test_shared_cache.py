"""Machines with empty stores and one shared cache: full hits, misses that are explained, caches that break."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bucket_server import Kind, running_bucket
from tests.support.command import Command, Completed, finish, project
from tests.support.fault_proxy import FaultProxy
from tests.support.ports import closed_port
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.shared_machines import STEPS, Fleet, check_registry, stored_bytes, tags


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def cache(server: RegistryServer, tmp_path: Path) -> str:
    """A repository of its own."""
    return f"type=registry,ref={server.host}/{tmp_path.name.replace('_', '-')}/cache"


def shared(done: Completed) -> dict[str, int]:
    found: dict[str, int] = done.result["shared"]
    return found


def ran(done: Completed) -> dict[str, str]:
    done.ok()
    return done.verdicts()


def test_an_empty_store_takes_all_from_a_registry(fleet: Fleet, cache: str) -> None:
    one, two = fleet.machine(), fleet.machine()
    first = one.build(fleet.checkout(), "--cache-to", cache).ok()
    assert (shared(first)["hits"], shared(first)["written"]) == (0, STEPS)
    second = two.build(fleet.checkout(), "-t", "app", "--cache-from", cache)
    assert (ran(second), second.image) == ({}, first.image)
    assert shared(second)["hits"] == STEPS and shared(second)["written"] == 0
    assert shared(second)["fetched"] > 300_000
    assert two.run("run", "app", "cat", "/out").ok().out == "1\n2\n"
    two.verify()
    again = two.build(fleet.checkout())
    assert (ran(again), again.image) == ({}, first.image)


def test_what_it_says_at_the_end(fleet: Fleet, cache: str) -> None:
    context = fleet.checkout()
    first = fleet.machine().run("build", "--cache-to", cache, context).ok()
    assert "shared cache: hit 0 of 4, 0B fetched; 4 steps written, " in first.err
    second = fleet.machine().run("build", "--cache-from", cache, context).ok()
    assert "shared cache: hit 4 of 4, " in second.err and " fetched" in second.err
    assert "from the shared cache" in second.err


def test_a_plan_says_what_the_cache_has_and_fetches_nothing(fleet: Fleet, cache: str) -> None:
    fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
    machine, context = fleet.machine(), fleet.checkout()
    assert machine.run("plan", context).code == 10
    done = machine.run("plan", "--json", "--cache-from", cache, context).ok()
    steps = [step for step in json.loads(done.out)["steps"] if step["how"]]
    assert [step["origin"] for step in steps] == ["shared"] * STEPS
    assert machine.run("plan", context).code == 10
    changed = machine.run("plan", "--cache-from", cache, fleet.checkout(src_a="other\n"))
    assert changed.code == 10 and "src/a is different" in changed.out


def test_a_miss_on_a_fresh_machine_names_the_file(fleet: Fleet, cache: str) -> None:
    fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
    done = fleet.machine().build(fleet.checkout(src_a="other\n"), "--cache-from", cache)
    assert ran(done) == {"COPY src /app": "CHANGED", "RUN cat /app/a /app/b > /out": "rebuilds"}
    assert done.row("COPY src").files == {"src/a": "content"}
    assert shared(done)["hits"] == 2


def test_a_layer_from_the_cache_is_as_good_as_one_built_here(fleet: Fleet, cache: str, tmp_path: Path) -> None:
    """It gives back its diff ID, so it can be verified, exported and shared like any other."""
    fleet.machine().build(fleet.checkout(), "--cache-to", cache + ",compression=zstd").ok()
    machine = fleet.machine()
    machine.build(fleet.checkout(), "-t", "app", "--cache-from", cache).ok()
    machine.run("run", "app", "true").ok()
    import sqlite3

    with sqlite3.connect(machine.root / "index.db") as index:
        assert index.execute("SELECT min(built) FROM snapshots WHERE parent IS NOT NULL").fetchone() == (1,)
    machine.run("save", "app", "-o", tmp_path / "app.tar").ok()


def test_a_directory_as_cache(fleet: Fleet, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    first = fleet.machine().build(fleet.checkout(), "--cache-to", f"type=local,dest={folder}").ok()
    second = fleet.machine().build(fleet.checkout(), "--cache-from", f"type=local,src={folder}")
    assert (ran(second), second.image, shared(second)["hits"]) == ({}, first.image, STEPS)
    third = fleet.machine().build(fleet.checkout(), "--cache-from", f"type=local,src={tmp_path / 'absent'}").ok()
    assert shared(third)["hits"] == 0 and third.warnings == []


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
def test_a_bucket_as_cache(tmp_path: Path, busybox_store: Path, kind: Kind) -> None:
    with running_bucket(kind) as bucket:
        fleet = Fleet(tmp_path, busybox_store, bucket.env)
        cache = f"{bucket.place},prefix=team/cache"
        first = fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
        second = fleet.machine().build(fleet.checkout(src_a="other\n"), "--cache-from", cache, "--cache-to", cache)
        assert set(ran(second)) == {"COPY src /app", "RUN cat /app/a /app/b > /out"}
        assert second.row("COPY src").files == {"src/a": "content"}
        third = fleet.machine().build(fleet.checkout(), "--cache-from", cache)
        assert (ran(third), third.image, third.warnings) == ({}, first.image, [])
        told = json.loads(fleet.machine().run("cache", "remote", "du", "--json", cache).ok().out)
        assert told["steps"] == STEPS + 2 and told["loose"] == {"blobs": 0, "bytes": 0}
        wrong = bucket.place.replace("=shared", "=absent")
        refused = fleet.machine().build(fleet.checkout(), "--cache-to", wrong).ok()
        assert len(refused.warnings) == 1 and "hidden-away" not in refused.err


def test_https_and_a_password(fleet: Fleet, tmp_path: Path) -> None:
    with running_registry(tmp_path / "reg", users={"ann": "pw"}, tls=True) as server:
        cache = f"type=registry,ref={server.host}/team/cache"
        settings = tmp_path / ".config" / "lamina" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'[registry."{server.host}"]\nca = "{server.ca}"\n')
        refused = fleet.machine().build(fleet.checkout(), "--cache-to", cache, "--cache-from", cache).ok()
        assert len(refused.warnings) == 1 and "left aside" in refused.warnings[0]
        auth = {"auths": {server.host: {"auth": b64encode(b"ann:pw").decode()}}}
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text(json.dumps(auth))
        first = fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
        second = fleet.machine().build(fleet.checkout(), "--cache-from", cache)
        assert (ran(second), second.image, second.warnings) == ({}, first.image, [])
        assert b"ann:pw" not in stored_bytes(server.data)


def test_reading_writes_nothing(fleet: Fleet, server: RegistryServer, cache: str) -> None:
    fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
    repository = cache.partition("/")[2]
    before = sorted(tags(server, repository))
    fleet.machine().build(fleet.checkout(src_a="other"), "--cache-from", cache).ok()
    assert sorted(tags(server, repository)) == before


def test_what_is_there_is_not_sent_again(fleet: Fleet, server: RegistryServer, cache: str) -> None:
    machine = fleet.machine()
    machine.build(fleet.checkout(), "--cache-to", cache).ok()
    again = machine.build(fleet.checkout(), "--cache-to", cache).ok()
    assert (shared(again)["written"], shared(again)["sent"]) == (0, 0)
    check_registry(server, cache.partition("/")[2])


def test_a_registry_that_is_not_there(fleet: Fleet) -> None:
    with closed_port() as port:
        cache = f"type=registry,ref=127.0.0.1:{port}/team/cache,timeout=1"
        done = fleet.machine().build(fleet.checkout(), "--cache-to", cache, "--cache-from", cache).ok()
    assert len(done.warnings) == 1 and "is left aside" in done.warnings[0]
    assert shared(done)["hits"] == 0


def test_a_registry_that_is_silent(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cache = f"type=registry,ref=127.0.0.1:{silent.getsockname()[1]}/silent/cache,timeout=1"
        done = fleet.machine().build(fleet.checkout(), "--cache-from", cache).ok()
        assert len(done.warnings) == 1


def test_a_damaged_layer_is_built_instead_and_replaced(fleet: Fleet, tmp_path: Path) -> None:
    cache = f"dest={tmp_path / 'shared'}"
    first = fleet.machine().build(fleet.checkout(), "--cache-to", f"type=local,{cache}").ok()
    largest = max((tmp_path / "shared" / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    both = ("--cache-from", f"type=local,{cache}", "--cache-to", f"type=local,{cache}")
    machine = fleet.machine()
    second = machine.build(fleet.checkout(), *both)
    assert "RUN head -c 300000 /dev/urandom > /installed" in ran(second)
    assert second.image != first.image and second.warnings
    machine.verify()
    third = fleet.machine().build(fleet.checkout(), *both)
    assert (ran(third), third.image) == ({}, second.image)


def test_two_writers_at_once(fleet: Fleet, server: RegistryServer, cache: str) -> None:
    """Neither loses the other's entries, also where both write the same."""
    contexts = [fleet.checkout(), fleet.checkout(src_a="other\n")]
    started = [fleet.machine().start("build", "--cache-to", cache, context) for context in contexts]
    for process in started:
        finish(process).ok()
    for context in contexts:
        done = fleet.machine().build(context, "--cache-from", cache)
        assert (ran(done), shared(done)["hits"]) == ({}, STEPS)
    check_registry(server, cache.partition("/")[2])


def test_a_build_that_fails_leaves_what_it_had_made(fleet: Fleet, cache: str) -> None:
    context = fleet.checkout()
    text = (context / "Dockerfile").read_text()
    (context / "Dockerfile").write_text(text + "RUN false\n")
    assert fleet.machine().build(context, "--cache-to", cache).code == 5
    (context / "Dockerfile").write_text(text)
    assert ran(fleet.machine().build(context, "--cache-from", cache)) == {}


def test_steps_of_other_stages(fleet: Fleet, cache: str, tmp_path: Path) -> None:
    text = "FROM busybox AS maker\nCOPY f /f\nRUN cat /f /f > /g\nFROM busybox\nCOPY --from=maker /g /g\n"
    context = project(tmp_path / "stages", text, {"f": "x"})
    fleet.machine().build(context, "--cache-to", f"{cache}-max").ok()
    fleet.machine().build(context, "--cache-to", f"{cache}-min,mode=min").ok()
    whole = fleet.machine().build(context, "--cache-from", f"{cache}-max")
    assert (ran(whole), shared(whole)["hits"]) == ({}, 3)
    part = fleet.machine().build(context, "--cache-from", f"{cache}-min")
    assert set(ran(part)) == {"COPY f /f", "RUN cat /f /f > /g"}
    assert shared(part)["hits"] == 1


def test_a_signature_that_is_asked_for(fleet: Fleet, cache: str, tmp_path: Path) -> None:
    keys = [tmp_path / name for name in ("ours", "theirs")]
    for key in keys:
        key.write_bytes(os.urandom(32))
    ours, theirs = keys
    fleet.machine().build(fleet.checkout(), "--cache-to", f"{cache},sign={theirs}").ok()
    wary = fleet.machine().build(fleet.checkout(), "--cache-from", f"{cache},verify={ours}").ok()
    assert shared(wary)["hits"] == 0
    fleet.machine().build(fleet.checkout(), "--cache-to", f"{cache},sign={ours}").ok()
    trusting = fleet.machine().build(fleet.checkout(), "--cache-from", f"{cache},verify={ours}").ok()
    assert shared(trusting)["hits"] == STEPS
    assert shared(fleet.machine().build(fleet.checkout(), "--cache-from", cache).ok())["hits"] == STEPS


def test_no_secret_and_no_path_of_the_machine_is_in_the_cache(fleet: Fleet, tmp_path: Path) -> None:
    text = (
        "FROM busybox\nRUN --mount=type=secret,id=token cat /run/secrets/token | wc -c > /size\n"
        'RUN --mount=type=secret,id=token,env=TOKEN test -n "$TOKEN"\nCOPY Dockerfile /d\n'
    )
    context = project(tmp_path / "private-place", text)
    (tmp_path / "token").write_text("hunter2-hunter2")
    folder = tmp_path / "shared"
    secret = ("--secret", f"id=token,src={tmp_path / 'token'}")
    done = fleet.machine().build(context, *secret, "--cache-to", f"type=local,dest={folder}").ok()
    assert shared(done)["written"] == 3
    everything = stored_bytes(folder)
    assert b"run/secrets/token" in everything  # so that this test would see it
    assert b"hunter2" not in everything and b"private-place" not in everything


def test_a_full_hit_that_is_pushed_moves_no_layer(fleet: Fleet, server: RegistryServer, tmp_path: Path) -> None:
    name = f"{server.host}/lazy/app:1"
    first = fleet.machine().build(
        fleet.checkout(), "-t", name, "--push", "--cache-to", f"type=registry,ref={server.host}/lazy/cache"
    )
    digest = first.ok().image
    with FaultProxy(server.host) as proxy:
        proxy.plan()
        machine = fleet.machine()
        done = machine.build(
            *(fleet.checkout(), "-t", f"{proxy.host}/lazy/other:2", "--push"),
            *("--cache-from", f"type=registry,ref={proxy.host}/lazy/cache"),
        )
        assert (ran(done), done.image) == ({}, digest)
        assert shared(done)["hits"] == STEPS and shared(done)["fetched"] == 0
        sent = {path.partition("digest=")[2] for method, path, _ in proxy.seen if method == "PUT" and "digest=" in path}
        fetched = [path for method, path, _ in proxy.seen if method == "GET" and "/blobs/" in path]
        # The configuration, and the base that is in no cache.
        assert len(sent) <= 2 and fetched == []
        # The image is whole for all that: what it lacks is had from where it was pushed.
        machine.verify()
        assert machine.run("run", f"{proxy.host}/lazy/other:2", "cat", "/out").ok().out == "1\n2\n"
        machine.verify()
    other = f"docker://{server.host}/lazy/other:2"
    copy = ["skopeo", "copy", "--src-tls-verify=false", other, f"oci:{tmp_path / 'layout'}"]
    subprocess.run(copy, check=True, capture_output=True)


@pytest.mark.parametrize("later", [False, True], ids=["named-by-the-build", "named-later"])
def test_layers_that_were_left_in_a_registry_are_fetched_by_its_name(
    fleet: Fleet, server: RegistryServer, tmp_path: Path, later: bool
) -> None:
    """Also for an image that has a name of its own here, which no registry knows."""
    place = f"{server.host}/origin-{'later' if later else 'now'}"
    fleet.machine().build(fleet.checkout(), "--cache-to", f"type=registry,ref={place}/cache").ok()
    machine = fleet.machine()
    names = () if later else ("-t", "aaa/mine:1")
    words = (*names, "-o", f"type=registry,name={place}/pushed:1", "--cache-from", f"type=registry,ref={place}/cache")
    done = machine.build(fleet.checkout(), *words).ok()
    assert (shared(done)["hits"], shared(done)["fetched"]) == (STEPS, 0)
    if later:
        machine.run("tag", f"{place}/pushed:1", "aaa/mine:1").ok()
    assert machine.run("run", "aaa/mine:1", "cat", "/out").ok().out == "1\n2\n"
    more = machine.build(project(tmp_path / "more", "FROM aaa/mine:1\nRUN cat /out > /more\n"), "-t", "more").ok()
    assert more.verdicts() == {"RUN cat /out > /more": "new"}
    machine.verify()


@pytest.mark.parametrize(
    ("options", "moves"), [("", False), (",compression-level=0", True)], ids=["as-pushed", "packed-otherwise"]
)
def test_a_reproducible_full_hit_moves_only_what_is_packed_otherwise(
    fleet: Fleet, server: RegistryServer, tmp_path: Path, options: str, moves: bool
) -> None:
    def digest(machine: Command, host: str, *words: str) -> str:
        file = tmp_path / "metadata.json"
        to = ("-t", f"{host}/same{int(moves)}/app:1", "--push", "--metadata-file", file)
        machine.build(fleet.checkout(), "--reproducible", *to, *words).ok()
        return str(json.loads(file.read_text())["containerimage.digest"])

    cache = f"/same{int(moves)}/cache"
    fleet.machine().build(
        fleet.checkout(), "--reproducible", "--cache-to", f"type=registry,ref={server.host}{cache}{options}"
    ).ok()
    with FaultProxy(server.host) as proxy:
        proxy.plan()
        found = digest(fleet.machine(), proxy.host, "--cache-from", f"type=registry,ref={proxy.host}{cache}")
        fetched = [path for method, path, _ in proxy.seen if method == "GET" and "/blobs/" in path]
        assert bool(fetched) == moves
    # `RUN head /dev/urandom` differs each time, so the other machine takes the layers too, and packs them itself.
    other = fleet.machine()
    other.build(
        fleet.checkout(), "--reproducible", "-t", "app", "--cache-from", f"type=registry,ref={server.host}{cache}"
    )
    other.run("run", "app", "true").ok()
    assert digest(other, server.host) == found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("type=inline", "there is no cache type 'inline'"),
        ("type=registry", "ref is missing"),
        ("type=local", "is missing"),
        ("type=registry,ref=h/c,mood=max", "did you mean mode?"),
        ("type=registry,ref=h/c,mode=most", "there is no mode 'most'"),
        ("type=registry,ref=h/c,compression=lzma", "compression 'lzma'"),
        ("type=registry,ref=H/C:x", "name"),
        ("type=local,dest=d,sign=/nowhere", "cannot be read"),
    ],
)
def test_words_that_are_not_understood(tmp_path: Path, fleet: Fleet, words: str, told: str) -> None:
    done = Command(tmp_path / "empty").run("build", "--cache-to", words, fleet.checkout())
    assert done.code == 2 and told in done.err and "Traceback" not in done.err
