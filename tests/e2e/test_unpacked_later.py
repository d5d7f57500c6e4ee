"""Images that were fetched and whose layers nobody has needed the files of: whole without a registry, unpacked by who
needs them first, once, and only if they are what they should be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import sqlite3
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command import Command, Completed, finish, project
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.shared_machines import STEPS, Fleet
from tests.support.waiting import copied, wait_for

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
TEXT = "FROM {base}\nCOPY a /a\nRUN cat /a /base > /both\n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, busybox_store: Path) -> Path:
    """The folder of a registry that holds `lib/base:1`, an image of three layers."""
    folder = tmp_path_factory.mktemp("registry")
    maker = Command(copied(busybox_store, folder / "store"))
    text = "FROM busybox\nRUN head -c 300000 /dev/urandom > /random\nRUN echo base > /base\nENV LEVEL=base\n"
    with running_registry(folder) as server:
        name = f"{server.host}/lib/base:1"
        maker.build(project(folder / "context", text), "-t", name, "--push").ok()
    return folder


@pytest.fixture
def server(filled: Path) -> Iterator[RegistryServer]:
    with running_registry(filled) as server:
        yield server


@pytest.fixture
def empty(tmp_path: Path) -> Command:
    return Command(tmp_path / "store", env={"HOME": str(tmp_path)})


def layers(machine: Command) -> int:
    """How many directories of layers there are."""
    return len(list((machine.root / "layers").iterdir()))


def largest(machine: Command) -> Path:
    return max((machine.root / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def damage(blob: Path) -> None:
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def refused(done: Completed, reference: str, *told: str) -> None:
    assert (done.code != 0, f"  [{reference}]\n" in done.err) == (True, True), done.err
    assert "Traceback" not in done.err
    for text in told:
        assert text in done.err, done.err


# --- pull ------------------------------------------------------------------------------------------------------------
def test_a_pulled_image_is_whole_and_not_unpacked(filled: Path, empty: Command, tmp_path: Path) -> None:
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        digest = empty.run("pull", "-q", name).ok().out.strip()
    assert layers(empty) == 0
    empty.verify()
    assert "0B" not in empty.run("images").ok().out.splitlines()[1]
    assert " 0B" not in empty.run("history", name).ok().out.splitlines()[-1]
    # None of these needs the files.
    empty.run("tag", name, "mine").ok()
    empty.run("save", "mine", "--format", "oci", "-o", tmp_path / "mine.tar").ok()
    thin = project(tmp_path / "thin", f"FROM {name}\nENV A=b\n")
    assert empty.build(thin, "-t", "thin").row("FROM").verdict == "cached"
    with running_registry(tmp_path / "other") as other:
        empty.run("tag", name, f"{other.host}/copy/base:1").ok()
        assert empty.run("push", "-q", f"{other.host}/copy/base:1").ok().out.strip() == digest
    assert layers(empty) == 0
    # The first that does has them unpacked.
    assert empty.run("run", "thin", "cat", "/base").ok().out == "base\n"
    assert layers(empty) == 3
    assert empty.run("run", name, "cat", "/base").ok().out == "base\n"
    empty.verify()


@pytest.mark.parametrize("words", [("export", "-o", "OUT"), ("layers",)], ids=lambda words: words[0])
def test_who_needs_files_has_them(filled: Path, empty: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        empty.run("pull", "-q", name).ok()
    done = empty.run(*(str(tmp_path / "out.tar") if word == "OUT" else word for word in words), name).ok()
    assert layers(empty) == 3
    if words[0] == "export":
        with tarfile.open(tmp_path / "out.tar") as archive:
            assert "base" in {member.removeprefix("./") for member in archive.getnames()}
    else:
        assert "/random" in done.out or "300" in done.out


def test_a_step_on_a_pulled_base_and_a_copy_from_one(filled: Path, empty: Command, tmp_path: Path) -> None:
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        empty.run("pull", "-q", name).ok()
    context = project(tmp_path / "c", f"FROM scratch\nCOPY --from={name} /base /copied\n")
    done = empty.build(context, "-t", "copied")
    assert done.verdicts() == {f"COPY --from={name} /base /copied": "new"} and layers(empty) == 4
    context = project(tmp_path / "d", TEXT.format(base=name), {"a": "a\n"})
    done = empty.build(context, "-t", "child")
    # It was here, so it was not fetched.
    assert done.row("FROM").verdict == "cached" and len(done.verdicts()) == 2
    assert empty.run("run", "child", "cat", "/both").ok().out == "a\nbase\n"
    empty.verify()


def test_cached_steps_on_a_base_that_is_not_unpacked(filled: Path, fleet: Fleet, tmp_path: Path) -> None:
    cache = f"type=local,dest={tmp_path / 'cache'}"
    one, two = fleet.machine(), fleet.machine()
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        context = project(tmp_path / "c", TEXT.format(base=name), {"a": "a\n"})
        first = one.build(context, "--cache-to", cache).ok()
        two.run("pull", "-q", name).ok()
    before = layers(two)
    full = two.build(context, "-t", "child", "--cache-from", cache).ok()
    again = two.build(context, "-t", "child").ok()
    assert (full.image, again.image) == (first.image, first.image)
    assert (full.verdicts(), again.verdicts(), layers(two)) == ({}, {}, before)
    two.verify()
    two.run("cache", "prune").ok()
    two.verify()
    with (context / "Dockerfile").open("a") as file:
        file.write("RUN cat /both /both > /more\n")
    assert two.build(context, "-t", "more").verdicts() == {"RUN cat /both /both > /more": "new"}
    assert two.run("run", "more", "cat", "/more").ok().out == "a\nbase\n" * 2
    two.verify()


# --- kills -----------------------------------------------------------------------------------------------------------
def test_a_pull_that_is_killed_leaves_no_name_and_the_next_one_goes_on(server: RegistryServer, empty: Command) -> None:
    with FaultProxy(server.host) as proxy:
        name = f"{proxy.host}/lib/base:1"
        empty.run("images").ok()
        sizes = layer_sizes(server)
        slow = next(digest for digest, size in sizes.items() if size == max(sizes.values()))
        proxy.plan(Fault("hang", slow[-40:], "GET", after=1000, seconds=60))
        running = empty.start("pull", name)
        blobs = empty.root / "blobs/sha256"
        wait_for(lambda: sum(path.stat().st_size > 90 for path in blobs.iterdir()) >= 4)
        running.send_signal(signal.SIGKILL)
        assert finish(running).code == -signal.SIGKILL
        proxy.plan()
        refused(empty.run("run", name, "true"), "store-image-missing")
        assert empty.contents()["tags"] == empty.contents()["images"] == []
        empty.verify()
        proxy.seen.clear()
        empty.run("pull", "-q", name).ok()
        fetched = [path for method, path, _ in proxy.seen if method == "GET" and "/blobs/" in path]
        assert [path.rpartition("/")[2] for path in fetched] == [slow]
    assert empty.run("run", name, "cat", "/base").ok().out == "base\n"


@pytest.mark.parametrize("seen", [1, 2])
def test_killed_while_it_unpacks(filled: Path, empty: Command, seen: int) -> None:
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        empty.run("pull", "-q", name).ok()
    running = empty.start("run", name, "true")
    wait_for(lambda: layers(empty) >= seen or running.poll() is not None)
    running.kill()
    finish(running)
    empty.verify()
    assert empty.run("run", name, "cat", "/base").ok().out == "base\n"
    assert layers(empty) == 3
    empty.verify()


def test_several_that_need_the_same_layers_at_once(filled: Path, empty: Command) -> None:
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        empty.run("pull", "-q", name).ok()
    running = [empty.start("run", name, "cat", "/base") for _ in range(4)]
    assert [finish(process).ok().out for process in running] == ["base\n"] * 4
    assert layers(empty) == 3
    empty.verify()


# --- what is not what it should be -----------------------------------------------------------------------------------
def test_a_blob_that_was_damaged_before_it_was_unpacked(filled: Path, empty: Command) -> None:
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        empty.run("pull", "-q", name).ok()
        damage(largest(empty))
        # Where it came from still has it.
        assert empty.run("run", name, "cat", "/base").ok().out == "base\n"
        empty.verify()
    second = Command(empty.root.with_name("second"), env=empty.env)
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        second.run("pull", "-q", name).ok()
        damage(largest(second))
    refused(second.run("run", name, "true"), "store-blob-damaged", name, "pull")
    assert second.run("cache", "verify").code == 0  # it is gone, and known to be had elsewhere
    with running_registry(filled) as server:
        again = f"{server.host}/lib/base:1"
        second.run("pull", "-q", again).ok()
    assert second.run("run", again, "cat", "/base").ok().out == "base\n"
    second.verify()


def test_a_layer_that_is_another_than_the_configuration_says(
    server: RegistryServer, empty: Command, busybox_store: Path, tmp_path: Path
) -> None:
    """Nothing of it is used, and an image that really has a layer of that diff ID is not harmed."""
    mine = Command(copied(busybox_store, tmp_path / "mine"), env=empty.env)
    mine.build(project(tmp_path / "c", "FROM busybox\nCOPY f /f\n", {"f": "true\n"}), "-t", "mine").ok()
    diff_id = json.loads(mine.run("inspect", "mine").ok().out)[0]["rootfs"]["diff_ids"][1]
    push_lie(server, "lies/app", diff_id)
    lie = f"{server.host}/lies/app:1"
    for machine in (empty, mine):
        machine.run("pull", "-q", lie).ok()
        refused(machine.run("run", lie, "true"), "image-wrong-diff-id", lie, diff_id)
        refused(
            machine.build(project(tmp_path / "d", f"FROM {lie}\nRUN true\n")), "image-wrong-diff-id", "Dockerfile:1"
        )
        machine.verify()
    assert layers(empty) == 0
    mine.run("tag", "mine", f"{server.host}/lies/mine:1").ok()
    mine.run("push", f"{server.host}/lies/mine:1").ok()
    empty.run("pull", "-q", f"{server.host}/lies/mine:1").ok()
    assert empty.run("run", f"{server.host}/lies/mine:1", "cat", "/f").ok().out == "true\n"


def test_a_layer_of_a_step_that_was_damaged_is_made_again(fleet: Fleet, tmp_path: Path) -> None:
    cache = f"type=local,dest={tmp_path / 'cache'}"
    context = fleet.checkout()
    first = fleet.machine().build(context, "--cache-to", cache).ok()
    machine = fleet.machine()
    machine.build(context, "-t", "app", "--cache-from", cache).ok()
    damage(largest_of_steps(machine))
    with (context / "Dockerfile").open("a") as file:
        file.write("RUN cat /out > /more\n")
    done = machine.build(context, "-t", "app")
    assert "RUN head -c 300000 /dev/urandom > /installed" in done.verdicts() and done.image != first.image
    assert any("was damaged in the store" in warning for warning in done.warnings)
    assert machine.run("run", "app", "cat", "/more").ok().out == "1\n2\n"
    machine.run("cache", "prune").ok()
    machine.verify()


# --- clearing away ---------------------------------------------------------------------------------------------------
def test_pruning_keeps_what_a_name_needs(filled: Path, fleet: Fleet, tmp_path: Path) -> None:
    cache = f"type=local,dest={tmp_path / 'cache'}"
    fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
    machine, blobs = fleet.machine(), 0
    with running_registry(filled) as server:
        name = f"{server.host}/lib/base:1"
        machine.run("pull", "-q", name).ok()
    machine.build(fleet.checkout(), "-t", "app", "--cache-from", cache).ok()
    machine.run("cache", "prune", "--older-than", "0s").ok()
    assert machine.contents()["records"] == []
    machine.verify()
    assert machine.run("run", name, "cat", "/base").ok().out == "base\n"
    assert machine.run("run", "app", "cat", "/out").ok().out == "1\n2\n"
    machine.run("rmi", name).ok()
    machine.run("rmi", "app").ok()
    machine.run("cache", "prune").ok()
    blobs = sum(path.stat().st_size > 200_000 for path in (machine.root / "blobs/sha256").iterdir())
    assert blobs == 1  # busybox


def test_steps_that_are_not_unpacked_go_by_their_value(fleet: Fleet, tmp_path: Path) -> None:
    cache = f"type=local,dest={tmp_path / 'cache'}"
    fleet.machine().build(fleet.checkout(), "--cache-to", cache).ok()
    machine = fleet.machine()
    machine.build(fleet.checkout(), "--cache-from", cache).ok()
    listed = json.loads(machine.run("cache", "du", "--records", "--json").ok().out)
    assert len(listed["steps"]) == STEPS and all(step["own"] for step in listed["steps"])
    big = largest_of_steps(machine)
    machine.run("cache", "prune", "--max-size", "1kB").ok()
    assert machine.contents()["records"] == [] and not big.exists()
    machine.verify()


# --- helpers ---------------------------------------------------------------------------------------------------------
def largest_of_steps(machine: Command) -> Path:
    """The blob of the largest layer that a cached step made."""
    with closing(sqlite3.connect(f"file:{machine.root}/index.db?mode=ro", uri=True)) as index:
        query = "SELECT digest FROM layer_blobs WHERE checked = 0 ORDER BY size DESC LIMIT 1"
        ((digest,),) = index.execute(query).fetchall()
    return machine.root / "blobs/sha256" / str(digest)[7:]


def layer_sizes(server: RegistryServer) -> dict[str, int]:
    request = urllib.request.Request(f"{server.url}/v2/lib/base/manifests/1", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request) as answer:
        return {layer["digest"]: layer["size"] for layer in json.load(answer)["layers"]}


def push_lie(server: RegistryServer, repository: str, diff_id: str) -> None:
    """An image whose one layer has another diff ID than its configuration says."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        entry = tarfile.TarInfo("f")
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"wrong\n"))
    machine = "arm64" if os.uname().machine == "aarch64" else "amd64"
    config = {"architecture": machine, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            **put_blob(server, repository, json.dumps(config).encode()),
        },
        "layers": [{"mediaType": LAYER, **put_blob(server, repository, packed.getvalue())}],
    }
    url = f"{server.url}/v2/{repository}/manifests/1"
    request = urllib.request.Request(url, json.dumps(manifest).encode(), {"Content-Type": MANIFEST}, method="PUT")
    urllib.request.urlopen(request).close()


def put_blob(server: RegistryServer, repository: str, data: bytes) -> dict[str, object]:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    start = urllib.request.Request(f"{server.url}/v2/{repository}/blobs/uploads/", b"", method="POST")
    with urllib.request.urlopen(start) as answer:
        place = answer.headers["Location"]
    headers = {"Content-Type": "application/octet-stream"}
    done = urllib.request.Request(f"{place}&digest={digest}", data, headers, method="PUT")
    urllib.request.urlopen(done).close()
    return {"digest": digest, "size": len(data)}
