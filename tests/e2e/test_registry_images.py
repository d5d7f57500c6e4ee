"""FROM and `pull` with a real registry, also one that lies or goes away."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import Command, project
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.waiting import copied

#: Faults that last: a client may try again.
ALWAYS = 1000


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, busybox_store: Path) -> Path:
    """The folder of a registry that holds `base:1`, an image of two layers."""
    folder = tmp_path_factory.mktemp("registry")
    maker = Command(copied(busybox_store, folder / "store"))
    text = "FROM busybox\nRUN head -c 300000 /dev/urandom > /random && echo base > /base\nENV LEVEL=base\n"
    context = project(folder / "context", text)
    maker.build(context, "-t", "base:1", "-o", f"type=oci,dest={folder / 'base.tar'}").ok()
    with running_registry(folder) as server:
        target = f"docker://{server.host}/lib/base:1"
        copy = ["skopeo", "copy", "--dest-tls-verify=false", f"oci-archive:{folder / 'base.tar'}", target]
        subprocess.run(copy, check=True, capture_output=True)
    return folder


@pytest.fixture
def server(filled: Path) -> Iterator[RegistryServer]:
    with running_registry(filled) as server:
        yield server


@pytest.fixture
def empty(tmp_path: Path) -> Command:
    """The command with a store that has no image."""
    return Command(tmp_path / "store", env={"HOME": str(tmp_path)})


def child(folder: Path, host: str) -> Path:
    return project(folder / "child", f'FROM {host}/lib/base:1\nRUN cat /base > /copy\nCMD cat /copy; echo "$LEVEL"\n')


def test_a_base_is_fetched_once_and_the_next_build_needs_no_registry(
    filled: Path, empty: Command, tmp_path: Path
) -> None:
    with running_registry(filled) as server:
        context = child(tmp_path, server.host)
        first = empty.build(context, "-t", "child")
        assert first.verdicts() == {"RUN cat /base > /copy": "new"}
        assert first.row("FROM").verdict == "fetched"
    second = empty.build(context)
    assert (second.verdicts(), second.image) == ({}, first.image)
    (context / "Dockerfile").write_text((context / "Dockerfile").read_text() + "RUN echo more > /more\n")
    assert empty.build(context).verdicts() == {"RUN echo more > /more": "new"}
    assert empty.run("run", "child").ok().out == "base\nbase\n"
    asked = empty.build(context, "--pull")
    assert asked.code == 6
    empty.verify()


def test_pull_then_run(server: RegistryServer, empty: Command) -> None:
    digest = empty.run("pull", "-q", f"{server.host}/lib/base:1").ok().out.strip()
    assert digest.startswith("sha256:")
    assert empty.run("run", f"{server.host}/lib/base:1", "cat", "/base").ok().out == "base\n"
    by_digest = Command(empty.root.with_name("second"), env=empty.env)
    assert by_digest.run("pull", "-q", f"{server.host}/lib/base@{digest}").ok().out.strip() == digest
    empty.verify()


def test_an_image_that_is_not_there(server: RegistryServer, empty: Command, tmp_path: Path) -> None:
    context = project(tmp_path / "c", f"# no such tag\nFROM {server.host}/lib/base:2\n")
    done = empty.build(context)
    assert done.code == 6
    assert "[registry-not-found]" in done.err
    assert f"{context}/Dockerfile:2" in done.err


@pytest.mark.parametrize(
    "fault",
    [
        Fault("corrupt", "/blobs/", "GET", times=ALWAYS, after=20),
        Fault("short", "/blobs/", "GET", times=ALWAYS, after=10),
        Fault("end", "/blobs/", "GET", times=ALWAYS, after=100),
        Fault("cut", "/blobs/", "GET", times=ALWAYS, after=100),
        Fault("long", "/blobs/", "GET", times=ALWAYS, after=10),
        Fault("corrupt", "/manifests/sha256", "GET", times=ALWAYS, after=20),
        Fault("digest", "/manifests/", times=ALWAYS),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.path.strip('/').partition('/')[0]}",
)
def test_a_lying_registry_is_found_out_and_leaves_the_store_untouched(
    server: RegistryServer, empty: Command, tmp_path: Path, fault: Fault
) -> None:
    with FaultProxy(server.host) as proxy:
        context = child(tmp_path, proxy.host)
        empty.run("images").ok()
        before = empty.contents()
        proxy.plan(fault)
        done = empty.build(context)
        assert done.code in (6, 9), done.err
        assert "Traceback" not in done.err
        assert proxy.host in done.err
        assert empty.contents() == before
        empty.verify()
        proxy.plan()
        empty.build(context, "-t", "child").ok()
        assert empty.run("run", "child").out == "base\nbase\n"


def test_a_layer_that_lies_after_a_good_manifest(server: RegistryServer, empty: Command, tmp_path: Path) -> None:
    """The configuration is right, a layer is not: nothing stays that is not what its digest says."""
    with FaultProxy(server.host) as proxy:
        context = child(tmp_path, proxy.host)
        empty.run("pull", "-q", f"{server.host}/lib/base:1").ok()
        layers = [path for path in (empty.root / "blobs/sha256").rglob("*") if path.is_file()]
        largest = max(layers, key=lambda path: path.stat().st_size).name
        fresh = Command(tmp_path / "fresh", env=empty.env)
        proxy.plan(Fault("corrupt", largest[-40:], "GET", times=ALWAYS, after=5000))
        done = fresh.build(context)
        assert done.code in (6, 9), done.err
        fresh.verify()
        proxy.plan()
        fresh.build(context).ok()
        fresh.verify()


def test_an_image_on_a_base_that_was_never_fetched_is_no_damage(
    server: RegistryServer, empty: Command, tmp_path: Path
) -> None:
    context = project(tmp_path / "metadata", f"FROM {server.host}/lib/base:1\nENV A=b\n")
    empty.build(context, "-t", "named").ok()
    assert empty.contents()["snapshots"] == []
    empty.verify()
    empty.run("run", "named", "true").ok()
    empty.verify()
