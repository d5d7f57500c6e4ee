"""Pulling and pushing while the network or the registry misbehaves: every failure named, no wrong byte accepted."""

from __future__ import annotations

import io
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.fault_proxy import Fault, FaultProxy, Kind
from tests.support.listener import Listener
from tests.support.oci_layouts import MadeImage, make_layout
from tests.support.ports import closed_port
from tests.support.registry_server import RegistryServer, running_registry

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest, encode_manifest
from lamina.oci.reference import Reference, parse_reference
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import DockerCredentials
from lamina.registry.push import RegistryPusher
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings
from lamina.registry.sightings import SightingFiles

#: Seconds until a read times out where a fault hangs; long elsewhere, so that a busy machine changes no result.
HASTE = 0.4
BIG = random.Random(7).randbytes(5 << 20)


@dataclass(frozen=True)
class Setup:
    server: RegistryServer
    proxy: FaultProxy
    image: MadeImage

    @property
    def name(self) -> Reference:
        return parse_reference(f"{self.proxy.host}/public/app:1")

    @property
    def layer(self) -> Descriptor:
        """The image's large layer."""
        digest = self.image.layers[0]
        return Descriptor(mediatypes.OCI_LAYER_GZIP, Digest(digest), len(self.image.blobs[digest]))

    def session(self, mirrors: dict[str, tuple[str, ...]] | None = None, read_seconds: float = 5.0) -> Session:
        settings = RegistrySettings(
            mirrors=mirrors or {},
            attempts=3,
            retry_seconds=3,
            backoff_seconds=0.005,
            connect_seconds=1,
            read_seconds=read_seconds,
        )
        return Session(settings, DockerCredentials(None))

    def pull(self, read_seconds: float = 5.0) -> bytes:
        with RegistryClient(self.session(read_seconds=read_seconds)).blob(self.name, self.layer) as chunks:
            return b"".join(chunks)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("faults")
    image = make_layout(folder / "layout", [{"big": BIG}])
    with running_registry(folder / "server") as server, FaultProxy(server.host) as proxy:
        target = f"docker://{server.host}/public/app:1"
        subprocess.run(
            ["skopeo", "copy", "--dest-tls-verify=false", image.skopeo_name, target], check=True, capture_output=True
        )
        yield Setup(server, proxy, image)


def failing(setup: Setup, *faults: Fault) -> BuildFailure:
    """The failure that pulling manifest and large layer ends with."""
    setup.proxy.plan(*faults)
    read_seconds = HASTE if any(fault.kind == "hang" for fault in faults) else 5.0
    with pytest.raises(BuildFailure) as caught:
        RegistryClient(setup.session(read_seconds=read_seconds)).manifest(setup.name)
        setup.pull(read_seconds)
    said = caught.value.diagnostic
    assert setup.proxy.host in said.message
    assert "public/app" in said.message
    assert said.hint
    return caught.value


# --- what is mended without a word -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", "/blobs/", after=3_000_000),
        Fault("cut", "/blobs/", after=0, times=2),
        Fault("end", "/blobs/", after=1_200_000, times=4),
        Fault("short", "/blobs/", after=1_000_000),
        Fault("hang", "/blobs/", after=2_000_000, seconds=60),
        Fault("refuse", "/blobs/", times=2),
        Fault("delay", "/blobs/", seconds=0.1),
        Fault("status", "/blobs/", status=500, times=2),
        Fault("status", "/blobs/", status=503, times=2, header={"Retry-After": "0"}),
        Fault("status", "/blobs/", status=429, times=2, header={"Retry-After": "0"}),
        Fault("status", "/blobs/", status=429, header={"Retry-After": "Mon, 01 Jan 2024 00:00:00 GMT"}),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.after}-{fault.times}",
)
def test_passing_trouble_is_overcome(setup: Setup, fault: Fault) -> None:
    setup.proxy.plan(fault)
    assert setup.pull(HASTE if fault.kind == "hang" else 5.0) == setup.image.blobs[setup.layer.digest]
    assert fault.times == 0


def test_a_cut_download_goes_on_where_it_ended(setup: Setup) -> None:
    setup.proxy.plan(Fault("end", "/blobs/", after=3_000_000))
    assert setup.pull() == setup.image.blobs[setup.layer.digest]
    ranges = [headers.get("Range", "") for _, path, headers in setup.proxy.seen if "/blobs/" in path]
    assert ranges == ["", "bytes=3000000-"]


def test_a_server_without_ranges_is_read_again_from_the_start(setup: Setup) -> None:
    setup.proxy.plan(Fault("cut", "/blobs/", after=3_000_000), Fault("ignore-range", "/blobs/"))
    assert setup.pull() == setup.image.blobs[setup.layer.digest]


def test_retry_after_is_heeded(setup: Setup) -> None:
    setup.proxy.plan(Fault("status", "/blobs/", status=429, header={"Retry-After": "1"}))
    started = time.monotonic()
    setup.pull()
    assert time.monotonic() - started >= 1


# --- what ends in a failure ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fault", "reference"),
    [
        (Fault("status", "/manifests/", status=429, times=99), "registry-too-many-requests"),
        (Fault("status", "/manifests/", status=403), "registry-denied"),
        (Fault("status", "/manifests/", status=401, times=9), "registry-unauthorized"),
        (Fault("status", "/manifests/", status=404), "registry-not-found"),
        (Fault("status", "/manifests/", status=500, times=99), "registry-bad-response"),
        (Fault("status", "/manifests/", status=418), "registry-bad-response"),
        (Fault("status", "/manifests/", status=200, body=b"<html>log in</html>"), "registry-bad-response"),
        (Fault("status", "/manifests/", status=200, body=b"[" * 100_000), "registry-bad-response"),
        (Fault("status", "/manifests/", status=200, body=b" " * ((8 << 20) + 1)), "registry-oversized"),
        (Fault("digest", "/manifests/"), "registry-wrong-digest"),
        (Fault("corrupt", "/manifests/", after=20), "registry-wrong-digest"),
        (Fault("long", "/manifests/", after=1), "registry-wrong-digest"),
        (Fault("hang", "/manifests/", seconds=60, times=99), "registry-timeout"),
        (Fault("cut", "/manifests/", after=10, times=99), "registry-unreachable"),
        (Fault("refuse", "/manifests/", times=99), "registry-unreachable"),
        (Fault("redirect", "/manifests/", location="/v2/public/app/manifests/1", times=99), "registry-bad-response"),
        (Fault("redirect", "/manifests/", location="ftp://x.example/y"), "registry-bad-response"),
        (Fault("redirect", "/manifests/", location="http://[bad/"), "registry-bad-response"),
        (Fault("corrupt", "/blobs/", after=0), "registry-wrong-digest"),
        (Fault("corrupt", "/blobs/", after=1 << 30), "registry-wrong-digest"),
        (Fault("long", "/blobs/", after=1), "registry-oversized"),
        (Fault("unannounced", "/blobs/", after=1), "registry-oversized"),
        (Fault("short", "/blobs/", after=1 << 30, times=99), "registry-truncated"),
        (Fault("hang", "/blobs/", after=10, seconds=60, times=99), "registry-timeout"),
        (Fault("cut", "/blobs/", after=10, times=99), "registry-unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind}-{value.path}-{value.status}",
)
def test_lasting_trouble_is_named(setup: Setup, fault: Fault, reference: str) -> None:
    assert failing(setup, fault).diagnostic.reference == reference


def test_nobody_listens(setup: Setup) -> None:
    with closed_port() as port, pytest.raises(BuildFailure) as caught:
        host = f"127.0.0.1:{port}"
        RegistryClient(setup.session()).resolve(parse_reference(f"{host}/public/app:1"))
    said = caught.value.diagnostic
    assert (said.reference, said.cause) == ("registry-unreachable", "Connection refused")
    assert host in said.message


def test_a_name_that_does_not_exist(setup: Setup) -> None:
    with pytest.raises(BuildFailure) as caught:
        RegistryClient(setup.session()).resolve(parse_reference("registry.invalid/app:1"))
    assert caught.value.diagnostic.reference == "registry-unreachable"
    assert "registry.invalid" in caught.value.diagnostic.message


def test_a_server_that_never_answers_is_given_up_in_time(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BuildFailure) as caught:
            RegistryClient(setup.session(read_seconds=HASTE)).resolve(parse_reference(f"{host}/public/app:1"))
    assert caught.value.diagnostic.reference == "registry-timeout"


def test_a_long_wait_is_not_slept(setup: Setup) -> None:
    setup.proxy.plan(Fault("status", "/manifests/", status=429, header={"Retry-After": "3600"}, times=99))
    with pytest.raises(BuildFailure) as caught:
        RegistryClient(setup.session()).manifest(setup.name)
    assert len(setup.proxy.seen) == 1
    assert "3600 seconds" in (caught.value.diagnostic.hint or "")


def test_tls_to_a_plain_server_is_explained(setup: Setup) -> None:
    session = Session(RegistrySettings(secure=(setup.server.host,), attempts=2), DockerCredentials(None))
    with pytest.raises(BuildFailure) as caught:
        RegistryClient(session).resolve(parse_reference(f"{setup.server.host}/public/app:1"))
    assert caught.value.diagnostic.cause == "it does not speak TLS"
    assert "insecure" in (caught.value.diagnostic.hint or "")


class Counting(Listener):
    """In front of a server, to count who comes."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self._upstream = upstream
        self.connections = 0

    def serve(self, connection: socket.socket) -> None:
        self.connections += 1
        self.tunnel(connection, self._upstream)


def test_an_unknown_authority_is_refused_at_once(setup: Setup, tmp_path: Path) -> None:
    with running_registry(tmp_path, tls=True) as server, Counting(server.host) as front:
        session = Session(RegistrySettings(secure=(front.host,)), DockerCredentials(None))
        with pytest.raises(BuildFailure) as caught:
            RegistryClient(session).resolve(parse_reference(f"{front.host}/public/app:1"))
    assert front.connections == 1
    assert caught.value.diagnostic.reference == "registry-unreachable"
    assert "certificate" in (caught.value.diagnostic.cause or "")


def test_schema_1_is_refused_clearly(setup: Setup) -> None:
    kind = {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
    old = b'{"schemaVersion": 1, "fsLayers": []}'
    setup.proxy.plan(Fault("status", "/manifests/", status=200, header=kind, body=old, times=9))
    for ask in (RegistryClient(setup.session()).manifest, RegistryClient(setup.session()).resolve):
        with pytest.raises(BuildFailure) as caught:
            ask(setup.name)
        assert caught.value.diagnostic.reference == "registry-old-manifest"


def test_head_that_says_too_little_is_followed_by_get(setup: Setup) -> None:
    setup.proxy.plan(Fault("status", "/manifests/", method="HEAD", status=405))
    assert RegistryClient(setup.session()).resolve(setup.name).digest == setup.image.digest
    assert [method for method, _, _ in setup.proxy.seen] == ["HEAD", "GET"]


# --- secrets and other hosts -----------------------------------------------------------------------------------------
def test_credentials_do_not_follow_a_redirect(setup: Setup, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(f'{{"auths": {{"{setup.proxy.host}": {{"username": "ann", "password": "pw"}}}}}}')
    session = Session(RegistrySettings(backoff_seconds=0.01), DockerCredentials(config))
    with FaultProxy(setup.server.host) as storage:
        blob = f"/v2/public/app/blobs/{setup.layer.digest}"
        setup.proxy.plan(
            Fault("status", "/blobs/", status=401, header={"WWW-Authenticate": 'Basic realm="r"'}),
            Fault("redirect", "/blobs/", location=f"http://{storage.host}{blob}?signature=secret"),
        )
        with RegistryClient(session).blob(setup.name, setup.layer) as chunks:
            assert b"".join(chunks) == setup.image.blobs[setup.layer.digest]
        assert [headers.get("Authorization", "") for _, _, headers in setup.proxy.seen] == ["", "Basic YW5uOnB3"]
        assert all("Authorization" not in headers for _, _, headers in storage.seen)
        assert storage.seen[0][2]["User-Agent"] == "lamina/0"


def test_a_challenge_of_another_host_gets_no_credentials(setup: Setup, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(f'{{"auths": {{"{setup.proxy.host}": {{"username": "ann", "password": "pw"}}}}}}')
    session = Session(RegistrySettings(backoff_seconds=0.01), DockerCredentials(config))
    with FaultProxy(setup.server.host) as storage:
        storage.plan(Fault("status", status=401, header={"WWW-Authenticate": 'Basic realm="r"'}, times=9))
        setup.proxy.plan(Fault("redirect", "/blobs/", location=f"http://{storage.host}/x?signature=secret", times=9))
        with pytest.raises(BuildFailure) as caught, RegistryClient(session).blob(setup.name, setup.layer):
            pass
        assert caught.value.diagnostic.reference == "registry-unauthorized"
        assert "signature" not in str(caught.value.diagnostic)
        assert all("Authorization" not in headers for _, _, headers in (*storage.seen, *setup.proxy.seen))


# --- mirrors ---------------------------------------------------------------------------------------------------------
def test_a_mirror_is_asked_first_and_the_registry_after_it(setup: Setup) -> None:
    with FaultProxy(setup.server.host) as mirror:
        client = RegistryClient(setup.session({setup.proxy.host: (mirror.host,)}))
        setup.proxy.plan()
        assert client.manifest(setup.name)[1] == setup.image.manifest
        assert len(mirror.seen) == 1
        assert not setup.proxy.seen
        mirror.plan(Fault("status", status=404, times=9))
        assert client.manifest(setup.name)[1] == setup.image.manifest
        assert len(setup.proxy.seen) == 1
        mirror.plan(Fault("end", "/blobs/", after=3_000_000), Fault("status", "/blobs/", status=404, times=9))
        with client.blob(setup.name, setup.layer) as chunks:
            assert b"".join(chunks) == setup.image.blobs[setup.layer.digest]


def test_a_dead_mirror_is_asked_once(setup: Setup) -> None:
    with FaultProxy(setup.server.host) as mirror:
        mirror.plan(Fault("refuse", times=99))
        client = RegistryClient(setup.session({setup.proxy.host: (f"http://{mirror.host}/prefix",)}))
        for _ in range(3):
            assert client.resolve(setup.name).digest == setup.image.digest
        assert {path for _, path, _ in mirror.seen} == {"/v2/prefix/public/app/manifests/1"}
        assert len(mirror.seen) == 2


# --- pushing ---------------------------------------------------------------------------------------------------------
def push(setup: Setup, seed: int, size: int = 3 << 20) -> tuple[Descriptor, bytes]:
    data = random.Random(seed).randbytes(size)
    descriptor = Descriptor(mediatypes.OCI_LAYER, digest_of(data), size)
    pusher = RegistryPusher(setup.session())
    assert pusher.push_blob(setup.name, descriptor, lambda: io.BytesIO(data))
    assert pusher.has_blob(setup.name, descriptor.digest)
    with RegistryClient(setup.session()).blob(setup.name, descriptor) as chunks:
        return descriptor, b"".join(chunks)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut-upload", method="PUT", after=1_000_000),
        Fault("status", method="PUT", status=413),
        Fault("status", method="PUT", status=503),
        Fault("status", method="POST", status=503, times=2),
        Fault("refuse", method="POST"),
        Fault("cut-through", method="PUT", after=2_000_000),
        Fault("corrupt-upload", method="PUT", after=99, times=2),
        Fault("lost-answer", method="PUT"),
        Fault("lost-answer", method="POST"),
        Fault("status", method="PUT", status=429, header={"Retry-After": "0"}),
        Fault("status", method="PUT", status=404),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.method}-{fault.status}",
)
def test_an_upload_survives(setup: Setup, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.registry.upload.CHUNK_BYTES", 1 << 20)
    setup.proxy.plan(fault)
    seed = sum(fault.kind.encode() + fault.method.encode()) + fault.status
    _, found = push(setup, seed)
    assert found == random.Random(seed).randbytes(3 << 20)
    assert fault.times == 0


@pytest.mark.parametrize("kind", ["cut-upload", "status", "cut-through", "lost-answer", "corrupt-upload"])
def test_a_chunked_upload_goes_on_after_a_cut(setup: Setup, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.registry.upload.CHUNK_BYTES", 1 << 20)
    broken = Fault(kind, method="PATCH", after=500_000, status=502, times=2)
    setup.proxy.plan(Fault("status", method="PUT", status=413), Fault("delay", method="PATCH"), broken)
    seed = 900 + sum(kind.encode())
    _, found = push(setup, seed)
    assert found == random.Random(seed).randbytes(3 << 20)
    assert broken.times == 0
    asked = [method for method, path, _ in setup.proxy.seen if "/uploads/" in path]
    assert asked.count("GET") >= (0 if kind == "corrupt-upload" else 2)


def test_a_registry_that_takes_no_chunks_gets_the_whole_again(setup: Setup) -> None:
    none = Fault("status", method="PATCH", status=405, times=99)
    setup.proxy.plan(Fault("cut-upload", method="PUT", after=1_000_000), none)
    _, found = push(setup, 77)
    assert found == random.Random(77).randbytes(3 << 20)
    assert none.times == 98


def test_what_is_damaged_here_is_not_called_the_networks_fault(setup: Setup) -> None:
    lied = Descriptor(mediatypes.OCI_LAYER, digest_of(b"what it was"), len(BIG))
    with pytest.raises(BuildFailure) as caught:
        RegistryPusher(setup.session()).push_blob(setup.name, lied, lambda: io.BytesIO(BIG))
    assert caught.value.diagnostic.reference == "registry-wrong-digest"
    assert "cache verify" in (caught.value.diagnostic.hint or "")


def test_what_is_damaged_on_its_way_each_time_is_named(setup: Setup) -> None:
    setup.proxy.plan(Fault("corrupt-upload", after=20, times=99))
    with pytest.raises(BuildFailure) as caught:
        push(setup, 5)
    assert caught.value.diagnostic.reference == "registry-wrong-digest"
    assert "network" in (caught.value.diagnostic.hint or "")


def test_a_mount_that_is_refused_is_only_a_longer_way(setup: Setup, tmp_path: Path) -> None:
    data = random.Random(31).randbytes(10_000)
    blob = Descriptor(mediatypes.OCI_LAYER, digest_of(data), len(data))
    memory = SightingFiles(tmp_path / "seen")
    memory.note(setup.proxy.host, "secret/app", [blob.digest])
    pusher = RegistryPusher(Session(setup.session().settings, DockerCredentials(None), sightings=memory))
    setup.proxy.plan(Fault("status", "mount=", status=403))
    assert pusher.push_blob(setup.name, blob, lambda: io.BytesIO(data))
    assert memory.where(setup.proxy.host, blob.digest) == ("public/app", "secret/app")
    other = parse_reference(f"{setup.proxy.host}/other/app:1")
    assert not pusher.push_blob(other, blob, lambda: io.BytesIO(data))


def test_an_upload_that_never_works_is_named(setup: Setup) -> None:
    setup.proxy.plan(Fault("status", method="PUT", status=413), Fault("cut-upload", method="PATCH", times=99))
    with pytest.raises(BuildFailure) as caught:
        push(setup, 1, 1 << 20)
    assert caught.value.diagnostic.reference == "registry-unreachable"
    setup.proxy.plan(Fault("status", method="POST", status=403, body=b'{"errors":[{"code":"DENIED"}]}'))
    with pytest.raises(BuildFailure) as caught:
        push(setup, 1, 1 << 20)
    assert caught.value.diagnostic.reference == "registry-denied"
    assert caught.value.diagnostic.cause == "HTTP 403 DENIED"


# --- many at once, and at random -------------------------------------------------------------------------------------
def test_threads_share_a_client(setup: Setup) -> None:
    setup.proxy.plan(Fault("end", "/blobs/", after=2_000_000, times=3))
    client = RegistryClient(setup.session())
    found: list[bytes] = []

    def work() -> None:
        with client.blob(setup.name, setup.layer) as chunks:
            found.append(b"".join(chunks))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [setup.image.blobs[setup.layer.digest]] * 4


UPLOAD_KINDS: tuple[Kind, ...] = (
    *("cut", "end", "status", "refuse", "digest", "hang", "cut-upload", "cut-through", "corrupt-upload", "lost-answer"),
)


@pytest.mark.parametrize("seed", range(100))
def test_random_faults_of_a_push_end_right_or_with_a_named_failure(
    setup: Setup, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.registry.upload.CHUNK_BYTES", 1 << 18)
    chance = random.Random(1000 + seed)
    data = chance.randbytes(600_000)
    blob = Descriptor(mediatypes.OCI_LAYER, digest_of(data), len(data))
    name = parse_reference(f"{setup.proxy.host}/random/p{seed}:1")
    config = Descriptor(mediatypes.OCI_CONFIG, digest_of(b"{}"), 2)
    raw = encode_manifest(Manifest(2, mediatypes.OCI_MANIFEST, config, (blob,)))
    faults = [
        Fault(
            chance.choice(UPLOAD_KINDS),
            chance.choice(("/manifests/", "/blobs/", "/blobs/uploads/", "")),
            chance.choice(("", "", "PUT", "PATCH", "POST", "HEAD", "GET")),
            times=chance.choice((1, 1, 2, 5)),
            after=chance.choice((0, 1, chance.randrange(600), chance.randrange(len(data)))),
            seconds=0.5,
            status=chance.choice((400, 401, 403, 404, 413, 416, 429, 500, 502, 503, 201, 202, 204)),
        )
        for _ in range(chance.randrange(1, 4))
    ]
    setup.proxy.plan(*faults)
    pusher = RegistryPusher(setup.session(read_seconds=HASTE))
    try:
        for one, content in ((config, b"{}"), (blob, data)):
            if not pusher.has_blob(name, one.digest):
                pusher.push_blob(name, one, lambda content=content: io.BytesIO(content))  # type: ignore[misc]
        pusher.push_manifest(name, raw, mediatypes.OCI_MANIFEST)
        ended = True
    except BuildFailure as failure:
        assert failure.diagnostic.reference.startswith("registry-")
        ended = False
    setup.proxy.plan()
    client = RegistryClient(setup.session())
    try:
        assert client.manifest(name)[1] == raw
    except BuildFailure:
        # An answer that claims success without the deed is found out by nobody but who asks later.
        assert not ended or any(fault.kind == "status" and fault.status in (201, 202, 204) for fault in faults)
        return
    # Whatever has a name is whole.
    with client.blob(name, blob) as chunks:
        assert b"".join(chunks) == data


KINDS: tuple[Kind, ...] = (
    *("cut", "end", "short", "long", "unannounced", "corrupt", "hang", "status", "refuse", "digest", "ignore-range"),
)


@pytest.mark.parametrize("seed", range(100))
def test_random_faults_end_right_or_with_a_named_failure(setup: Setup, seed: int) -> None:
    chance = random.Random(seed)
    faults = [
        Fault(
            chance.choice(KINDS),
            chance.choice(("/manifests/", "/blobs/", "")),
            times=chance.choice((1, 1, 2, 5)),
            after=chance.choice((0, 1, chance.randrange(600), chance.randrange(len(BIG)))),
            seconds=0.5,
            status=chance.choice((301, 400, 401, 403, 404, 416, 429, 500, 502, 503, 206, 204)),
        )
        for _ in range(chance.randrange(1, 4))
    ]
    setup.proxy.plan(*faults)
    client = RegistryClient(setup.session(read_seconds=HASTE))
    given: list[bytes] = []
    try:
        top = client.resolve(setup.name)
        raw = client.manifest(setup.name, top.digest)[1]
        with client.blob(setup.name, setup.layer) as chunks:
            given.extend(chunks)
    except BuildFailure as failure:
        assert failure.diagnostic.reference.startswith("registry-")
        # Whatever was handed out is short of the whole: a reader that saw the end saw the right bytes.
        assert sum(map(len, given)) < setup.layer.size
    else:
        assert digest_of(raw) == top.digest
        assert b"".join(given) == setup.image.blobs[setup.layer.digest]
