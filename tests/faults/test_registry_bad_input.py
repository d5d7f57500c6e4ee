"""What a registry or its user can have wrong, met by the whole command: a clear error, nothing half done, retries that
end. Wrong credentials, digests and lengths are in the contract tests and in `test_registry_faults`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from tests.faults.random_site import Hasty, get, tags, unsound
from tests.support.command import Command, Completed, project
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.registry_server import RegistryServer, running_registry
from tests.support.token_server import running_token_server
from tests.support.waiting import PATIENCE, copied

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def user(tmp_path: Path, busybox_store: Path) -> Hasty:
    """A machine with the image `busybox`, that has little patience with registries."""
    return Hasty(copied(busybox_store, tmp_path / "store"), env={"HOME": str(tmp_path)})


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def put(server: RegistryServer, path: str, data: bytes, kind: str) -> None:
    request = urllib.request.Request(f"{server.url}/v2/{path}", data, {"Content-Type": kind}, method="PUT")
    urllib.request.urlopen(request).close()


def put_blob(server: RegistryServer, repository: str, data: bytes) -> dict[str, object]:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    start = urllib.request.Request(f"{server.url}/v2/{repository}/blobs/uploads/", b"", method="POST")
    with urllib.request.urlopen(start) as answer:
        place = answer.headers["Location"]
    done = urllib.request.Request(f"{place}&digest={digest}", data, method="PUT")
    done.add_header("Content-Type", "application/octet-stream")
    urllib.request.urlopen(done).close()
    return {"digest": digest, "size": len(data)}


def refused(done: Completed, code: int, reference: str, *told: str) -> None:
    """It ended with one clear error that says this."""
    assert (done.code, f"  [{reference}]\n" in done.err) == (code, True), done.err
    assert "Traceback" not in done.err
    for text in told:
        assert text in done.err, done.err


def test_a_token_that_expires_in_the_middle_of_a_push(tmp_path: Path, user: Hasty) -> None:
    login = json.dumps({"username": "ann", "password": "pw"})
    with (
        running_token_server(tmp_path / "tokens", {"ann": "pw"}) as tokens,
        running_registry(tmp_path / "registry", token_realm=tokens.realm) as server,
        FaultProxy(server.host) as proxy,
    ):
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker/config.json").write_text(f'{{"auths": {{"{proxy.host}": {login}}}}}')
        name = f"{proxy.host}/team/app:1"
        user.run("tag", "busybox", name).ok()
        challenge = f'Bearer realm="{tokens.realm.url}",service="registry.test",error="invalid_token"'
        expired = Fault("status", "/blobs/uploads/", "PUT", status=401, header={"WWW-Authenticate": challenge})
        proxy.plan(expired)
        digest = user.run("push", "-q", name).ok().out.strip()
        assert expired.times == 0 and len(tokens.seen) >= 2
        tokens.lifetime = -3600  # none is good any more
        asked = len(tokens.seen)
        proxy.plan()
        refused(user.run("push", "--compression", "zstd", name), 6, "registry-unauthorized", proxy.host, "lamina login")
        assert len(tokens.seen) - asked <= 2
        tokens.lifetime = 300
        assert user.run("push", "-q", name).ok().out.strip() == digest


def test_an_index_without_our_platform(server: RegistryServer, user: Hasty, tmp_path: Path) -> None:
    user.run("tag", "busybox", f"{server.host}/odd/app:1").ok()
    digest = user.run("push", "-q", f"{server.host}/odd/app:1").ok().out.strip()
    raw = get(server, f"odd/app/manifests/{digest}")
    assert raw is not None
    entries = [
        {"mediaType": MANIFEST, "digest": digest, "size": len(raw), "platform": {"os": "linux", "architecture": name}}
        for name in ("s390x", "ppc64le")
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    put(server, "odd/app/manifests/index", index, INDEX)
    before = user.contents()
    told = ("odd/app:index has no image for linux/", "linux/ppc64le, linux/s390x")
    refused(user.run("pull", f"{server.host}/odd/app:index"), 9, "image-no-platform", *told)
    context = project(tmp_path / "p", f"FROM {server.host}/odd/app:index\nRUN true\n")
    refused(user.build(context), 9, "image-no-platform", f"{context}/Dockerfile:1", *told)
    assert user.contents() == before


def test_a_bomb_from_a_registry_that_fills_the_disk(server: RegistryServer, tmp_path: Path) -> None:
    """A hundred kilobytes that unpack to a hundred megabytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        entry = tarfile.TarInfo("bomb")
        entry.size = 100 << 20
        tar.addfile(entry, Zeros(entry.size))
    layer = put_blob(server, "bomb/app", packed.getvalue())
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]}
    config = put_blob(
        server, "bomb/app", json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer}],
    }
    put(server, "bomb/app/manifests/1", json.dumps(manifest).encode(), MANIFEST)
    with small_disk(tmp_path / "disk", "24m") as disk:
        lamina = Command(disk / "store", env={"HOME": str(tmp_path)})
        lamina.run("pull", "--platform", "linux/amd64", f"{server.host}/bomb/app:1").ok()
        done = lamina.run("run", "--platform", "linux/amd64", f"{server.host}/bomb/app:1", "true")
        refused(done, 9, "image-unpack-failed", "'bomb'", "No space left on device", "free some space")
        assert lamina.contents()["snapshots"] == []
        assert not list((lamina.root / "tmp").iterdir())
        lamina.verify()


class Zeros(io.RawIOBase):
    """A file of so many zeros."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def read(self, amount: int = -1) -> bytes:
        amount = self.left if amount < 0 else min(amount, self.left)
        self.left -= amount
        return bytes(amount)


def test_a_registry_whose_disk_is_full(user: Hasty, tmp_path: Path) -> None:
    context = project(tmp_path / "p", "FROM busybox\nCOPY noise /\n")
    (context / "noise").write_bytes(os.urandom(5_000_000))
    with small_disk(tmp_path / "disk", "4m") as disk, running_registry(disk / "registry") as server:
        name, cache = f"{server.host}/full/app:1", f"type=registry,ref={server.host}/full/cache,timeout=2"
        done = user.build(context, "-t", name, "--cache-to", cache)
        assert (done.code, len(done.warnings)) == (0, 1) and "full/cache is left aside" in done.warnings[0]
        refused(user.run("push", name), 6, "registry-bad-response", server.host, "HTTP 500", "try again later")
        assert tags(server, "full/app") == [] and list(unsound(server, "full/cache")) == []
        subprocess.run(["mount", "-o", "remount,size=32m", disk], check=True)
        user.run("push", name).ok()
        user.build(context, "--no-cache", "--cache-to", cache).ok()
        assert tags(server, "full/app") == ["1"] and tags(server, "full/cache")
        assert [*unsound(server, "full/app"), *unsound(server, "full/cache")] == []


def test_two_images_pushed_under_one_name_at_once(server: RegistryServer, user: Hasty, tmp_path: Path) -> None:
    """One of them is there then, whole."""
    name = f"{server.host}/race/app:1"
    machines, digests = [], set()
    for number in range(2):
        machine = Hasty(copied(user.root, tmp_path / f"machine-{number}"), env=user.env)
        context = project(tmp_path / f"p{number}", f"FROM busybox\nRUN echo {number} > /n\n")
        machine.build(context, "-t", name).ok()
        machines.append(machine)
    for _ in range(3):
        for process in [machine.start("push", "-q", name) for machine in machines]:
            out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, err
            digests.add(out.decode().strip())
    assert len(digests) == 2
    raw = get(server, "race/app/manifests/1")
    assert raw is not None and "sha256:" + hashlib.sha256(raw).hexdigest() in digests
    assert list(unsound(server, "race/app")) == []


@pytest.mark.parametrize("years", [-11, 11])
def test_a_clock_years_off(server: RegistryServer, user: Hasty, tmp_path: Path, years: int) -> None:
    """It changes no result: only certificates depend on it, and say so."""
    env = {"HOME": str(tmp_path), "HASTY_CLOCK": str(years * 365 * 86400)}
    wrong = Hasty(copied(user.root, tmp_path / "wrong"), env=env)
    context = project(tmp_path / "p", "FROM busybox\nRUN echo made > /made\nCOPY Dockerfile /\n")
    repository = "clock/ahead" if years > 0 else "clock/behind"
    cache = f"type=registry,ref={server.host}/{repository}-cache"
    with FaultProxy(server.host) as proxy:
        name = f"{proxy.host}/{repository}:1"
        now = time.time()
        dates = {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(now + 1, usegmt=True)}
        proxy.plan(Fault("status", "/blobs/", status=429, header=dates))
        first = wrong.build(context, "-t", name, "--push", "--cache-to", cache).ok()
        taken = user.build(context, "-t", "taken", "--cache-from", cache)
        assert (taken.ok().image, taken.verdicts(), taken.warnings) == (first.image, {}, [])
        # And back: what was built by a good clock.
        other = Hasty(tmp_path / "third", env=env)
        assert other.run("pull", "-q", name).ok().out == user.run("pull", "-q", name).ok().out
        assert other.run("run", name, "cat", "/made").ok().out == "made\n"
        for machine in (wrong, user, other):
            machine.verify()
    with running_registry(tmp_path / "tls", tls=True) as secure:
        settings = tmp_path / ".config/lamina/config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(f'[registry."{secure.host}"]\nca = "{secure.ca}"\n')
        # OpenSSL has a clock of its own. (Under `faketime` Python's threads wait for ever, so only for this.)
        wrong = Hasty(wrong.root, ("faketime", "-f", f"{years:+}y"), {"HOME": str(tmp_path)})
        done = wrong.run("pull", f"{secure.host}/a:1")
        refused(done, 6, "registry-unreachable", secure.host, "expired" if years > 0 else "not yet valid")
