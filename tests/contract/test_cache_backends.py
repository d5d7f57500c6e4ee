"""One contract for all places of a shared cache: a directory, a repository of a real registry, a bucket."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.bucket_server import BucketServer, running_bucket
from tests.support.registry_server import RegistryServer, free_port, running_registry

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

NAME = "k-" + "ab" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="module")
def bucket() -> Iterator[BucketServer]:
    with running_bucket() as server:
        yield server


def registry_cache(host: str, repository: str) -> RegistryCache:
    settings = RegistrySettings(attempts=2, retry_seconds=1, connect_seconds=2, read_seconds=2)
    session = Session(settings, DockerCredentials(None))
    return RegistryCache(parse_reference(f"{host}/{repository}"), session, session)


def bucket_cache(url: str, prefix: str) -> CacheStore:
    attributes = {"access_key_id": "k", "secret_access_key": "s", "region": "us-east-1"}
    return open_bucket("s3", {"bucket": "shared", "endpoint_url": url, "prefix": prefix, **attributes}, 2)


@pytest.fixture(params=["folder", "registry", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CacheStore:
    name = tmp_path.name.replace("_", "-").replace("[", "").replace("]", "").lower()
    match request.param:
        case "folder":
            return FolderCache(tmp_path / "cache")
        case "registry":
            return registry_cache(request.getfixturevalue("server").host, f"team/{name}")
    return bucket_cache(request.getfixturevalue("bucket").url, name)


@pytest.fixture(params=["folder", "registry", "bucket"])
def gone(request: pytest.FixtureRequest, tmp_path: Path) -> CacheStore:
    """A place that is there no more, or never was."""
    match request.param:
        case "folder":
            (tmp_path / "file").write_text("no directory")
            return FolderCache(tmp_path / "file")
        case "registry":
            return registry_cache(f"127.0.0.1:{free_port()}", "team/cache")
    return bucket_cache(f"http://127.0.0.1:{free_port()}", "p")


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
