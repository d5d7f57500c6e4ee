"""One contract for all places of a shared cache: a directory, a real registry's repository, a bucket of each cloud."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.bucket_server import BucketServer, Kind, running_bucket
from tests.support.ports import closed_port
from tests.support.registry_server import RegistryServer, running_registry

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.oci.descriptor import Descriptor
from lamina.oci.mediatypes import OCI_LAYER
from lamina.oci.reference import parse_reference
from lamina.registry.cachebucket import open_bucket
from lamina.registry.cachefolder import FolderCache
from lamina.registry.cacheregistry import RegistryCache
from lamina.registry.cachestore import MAX_DOCUMENT, CacheStore
from lamina.registry.credentials import DockerCredentials
from lamina.registry.session import Session
from lamina.registry.settings import RegistrySettings

NAME, OTHER = "k-" + "ab" * 32, "k-" + "cd" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="module")
def s3() -> Iterator[BucketServer]:
    with running_bucket("s3") as server:
        yield server


@pytest.fixture(scope="module")
def gs() -> Iterator[BucketServer]:
    with running_bucket("gs") as server:
        yield server


@pytest.fixture(scope="module")
def az() -> Iterator[BucketServer]:
    with running_bucket("az") as server:
        yield server


def registry_cache(host: str, repository: str) -> RegistryCache:
    settings = RegistrySettings(attempts=2, retry_seconds=1, connect_seconds=20, read_seconds=20)
    session = Session(settings, DockerCredentials(None))
    return RegistryCache(parse_reference(f"{host}/{repository}"), session, session)


PLACES = ["folder", "registry", "s3", "gs", "az"]


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CacheStore:
    name = tmp_path.name.replace("_", "-").replace("[", "").replace("]", "").lower()
    match request.param:
        case "folder":
            return FolderCache(tmp_path / "cache")
        case "registry":
            return registry_cache(request.getfixturevalue("server").host, f"team/{name}")
    server: BucketServer = request.getfixturevalue(request.param)
    for variable, value in server.env.items():
        monkeypatch.setenv(variable, value)
    return open_bucket(server.kind, {**server.attributes, "prefix": name}, 20)


@pytest.fixture(params=PLACES)
def gone(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CacheStore]:
    """A place that is there no more, or never was."""
    kind: Kind
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "anything")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "YW55")
    with closed_port() as port:
        match request.param:
            case "folder":
                (tmp_path / "file").write_text("no directory")
                yield FolderCache(tmp_path / "file")
            case "registry":
                yield registry_cache(f"127.0.0.1:{port}", "team/cache")
            case _:
                kind = request.param
                yield open_bucket(kind, BucketServer(kind, f"http://127.0.0.1:{port}").attributes, 2)


def blob(data: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER, digest_of(data), len(data))


def send(store: CacheStore, data: bytes) -> Descriptor:
    wanted = blob(data)
    store.send(wanted, lambda: io.BytesIO(data), lambda _: None)
    return wanted


def test_a_document_is_read_as_it_was_written(store: CacheStore) -> None:
    assert store.read(NAME) is None
    layer = send(store, b"layer")
    store.write(NAME, b"one\0\xff", [layer])
    assert store.read(NAME) == b"one\0\xff"
    store.write(NAME, b"two", [layer])
    assert store.read(NAME) == b"two"
    assert store.read("a-" + "0" * 32) is None


def test_a_document_without_blobs(store: CacheStore) -> None:
    store.write(NAME, b"alone", [])
    assert store.read(NAME) == b"alone"


def test_the_longest_document(store: CacheStore) -> None:
    document = os.urandom(MAX_DOCUMENT)
    store.write(NAME, document, [])
    assert store.read(NAME) == document


@pytest.mark.parametrize("size", [0, 1, 300_000, 20 << 20])
def test_blobs_come_back_whole(store: CacheStore, size: int) -> None:
    data = os.urandom(1 << 16) * (size >> 16) + os.urandom(size & 0xFFFF)
    wanted = blob(data)
    assert not store.has(wanted.digest)
    heard: list[int] = []
    assert store.send(wanted, lambda: io.BytesIO(data), heard.append)
    assert store.has(wanted.digest)
    assert not size or heard[-1] == size
    with store.fetch(wanted) as chunks:
        assert b"".join(chunks) == data


def test_a_blob_that_is_not_there(store: CacheStore) -> None:
    with pytest.raises(BuildFailure), store.fetch(blob(b"absent")) as chunks:
        b"".join(chunks)


def test_what_is_said_of_a_blob_must_be_true(store: CacheStore) -> None:
    """Neither another digest nor another size is given to the end, nor taken."""
    send(store, b"x" * 1000)
    for lie in (
        Descriptor(OCI_LAYER, digest_of(b"x" * 1000), 999),
        Descriptor(OCI_LAYER, digest_of(b"x" * 1000), 1001),
    ):
        with pytest.raises(BuildFailure), store.fetch(lie) as chunks:
            b"".join(chunks)
    wrong = Digest("sha256:" + hashlib.sha256(b"other").hexdigest())
    with pytest.raises(BuildFailure):
        store.send(Descriptor(OCI_LAYER, wrong, 4), lambda: io.BytesIO(b"data"), lambda _: None)
    assert not store.has(wrong)


def test_an_interrupted_upload_leaves_nothing(store: CacheStore) -> None:
    class Interrupted(Exception):
        pass

    data = os.urandom(20 << 20)

    def stop(done: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        store.send(blob(data), lambda: io.BytesIO(data), stop)
    assert not store.has(blob(data).digest)


@pytest.mark.parametrize("name", ["../k-" + "a" * 64, "k-" + "A" * 64, "", "latest", "k-" + "a" * 64 + "/x"])
def test_names_lead_nowhere_else(store: CacheStore, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        store.read(name)
    with pytest.raises(ValueError, match="name"):
        store.write(name, b"x", [])
    with pytest.raises((ValueError, BuildFailure)):
        store.has(Digest("sha256:../../etc/passwd"))


def test_writers_at_once(store: CacheStore) -> None:
    """A document is one of those that were written, and all blobs are there."""
    documents = [bytes([number]) * 5000 for number in range(8)]
    failures: list[BaseException] = []

    def write(document: bytes) -> None:
        try:
            layers = [send(store, document), send(store, b"common")]
            store.write(NAME, document, layers)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(document,)) for document in documents]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
    assert failures == []
    assert store.read(NAME) in documents
    assert all(store.has(digest_of(document)) for document in (*documents, b"common"))


def test_what_is_there_is_listed_and_removed(store: CacheStore) -> None:
    before = store.clock() - 1
    assert store.names() == {} and store.blobs() == {} and store.look(NAME) is None
    kept, layer = send(store, b"kept"), send(store, b"layer")
    store.write(NAME, b"document", [layer])
    store.write(OTHER, b"other", [kept])
    assert set(store.names()) == {NAME, OTHER}
    held = store.look(NAME)
    assert held is not None and held.data == b"document" and held.size >= 8
    if not store.collects:
        assert store.names()[NAME] == held.version and before <= held.used <= store.clock() + 1
        assert {digest: blob.size for digest, blob in store.blobs().items()} == {kept.digest: 4, layer.digest: 5}
        assert all(before <= blob.used for blob in store.blobs().values())
    store.remove([held])
    store.remove([held])
    assert store.read(NAME) is None and set(store.names()) == {OTHER}
    store.remove_blobs([layer.digest, blob(b"absent").digest], store.clock() + 5)
    assert store.collects or set(store.blobs()) == {kept.digest}
    assert store.read(OTHER) == b"other" and store.has(kept.digest)
    store.write(NAME, b"document", [send(store, b"layer")])
    assert store.read(NAME) == b"document"


def test_more_tags_than_a_page(server: RegistryServer) -> None:
    """Registries list a thousand at a time at most."""
    store = registry_cache(server.host, "team/pages")
    names = [f"k-{number:064x}" for number in range(1030)]
    store.write(names[0], b"x", [])
    # Putting all of them by the protocol takes long: a tag is a folder of the registry.
    folder = server.data / "docker/registry/v2/repositories/team/pages/_manifests/tags"
    for name in names[1:]:
        shutil.copytree(folder / names[0], folder / name)
    assert set(store.names()) == set(names)


def test_marking_as_used(store: CacheStore) -> None:
    """At most once a day, and the document is as it was."""
    layer, now = send(store, b"layer"), time.time()
    store.write(NAME, b"document", [layer])
    assert store.read(NAME) == b"document"
    assert not store.refresh(NAME, now)
    if isinstance(store, RegistryCache):
        assert store.refresh(NAME, now - 100_000)
        held = store.look(NAME)
        assert held is not None and held.data == b"document" and now - 1 <= held.used <= now + 60
        assert store.read(NAME) == b"document" and not store.refresh(NAME, now - 100_000)
    assert store.has(layer.digest)


def test_a_place_that_is_gone(gone: CacheStore) -> None:
    uses: list[Callable[[], object]] = [
        lambda: gone.write(NAME, b"x", []),
        lambda: gone.send(blob(b"x"), lambda: io.BytesIO(b"x"), lambda _: None),
    ]
    for use in uses:
        with pytest.raises(BuildFailure) as caught:
            use()
        assert caught.value.diagnostic.reference.startswith("registry-")
    if not isinstance(gone, FolderCache):
        with pytest.raises(BuildFailure):
            gone.read(NAME)
