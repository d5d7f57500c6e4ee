"""What every `ports.BlobStore` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.ports.storing import BlobStore
from lamina.store.store import Store
from lamina.testing.memory import MemoryBlobs


@pytest.fixture(params=["memory", "disk"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "memory":
        yield MemoryBlobs()
        return
    with Store.open(tmp_path / "store") as store:
        yield store.blobs


@pytest.mark.parametrize("data", [b"", b"x", b"y" * 3_000_000])
def test_what_was_put_can_be_read(blobs: BlobStore, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == digest_of(data)
    assert blobs.has(digest)
    with blobs.open(digest) as file:
        assert file.read() == data


def test_a_blob_is_written_in_pieces(blobs: BlobStore) -> None:
    with blobs.writer() as writer:
        assert writer.write(b"one ") == 4
        writer.write(b"two")
        assert not blobs.has(digest_of(b"one two"))
        assert writer.commit() == digest_of(b"one two")
    with blobs.open(digest_of(b"one two")) as file:
        assert file.read(3) == b"one"


def test_without_commit_nothing_is_visible(blobs: BlobStore) -> None:
    with blobs.writer() as writer:
        writer.write(b"lost")
    with pytest.raises(RuntimeError), blobs.writer() as writer:
        writer.write(b"lost")
        raise RuntimeError
    assert not blobs.has(digest_of(b"lost"))


@pytest.mark.parametrize(
    ("expected", "size"),
    [(digest_of(b"other"), None), (None, 3), (None, 5), (digest_of(b"data"), 5), (digest_of(b"other"), 4)],
)
def test_what_differs_from_the_announcement_is_refused(
    blobs: BlobStore, expected: Digest | None, size: int | None
) -> None:
    with pytest.raises(BuildFailure) as caught, blobs.writer(expected, size) as writer:
        writer.write(b"data")
        writer.commit()
    assert caught.value.diagnostic.reference == "store-blob-mismatch"
    assert not blobs.has(digest_of(b"data"))


def test_what_is_as_announced_is_taken(blobs: BlobStore) -> None:
    with blobs.writer(digest_of(b"data"), 4) as writer:
        writer.write(b"data")
        assert writer.commit() == digest_of(b"data")


def test_the_same_blob_twice(blobs: BlobStore) -> None:
    for _ in range(2):
        with blobs.writer() as writer:
            writer.write(b"same")
            writer.commit()
    with blobs.open(digest_of(b"same")) as file:
        assert file.read() == b"same"


def test_a_missing_blob(blobs: BlobStore) -> None:
    with pytest.raises(BuildFailure) as caught:
        blobs.open(digest_of(b"nowhere"))
    assert caught.value.diagnostic.reference == "store-blob-missing"
    blobs.delete(digest_of(b"nowhere"))


def test_delete(blobs: BlobStore) -> None:
    digest = blobs.put(b"data")
    with blobs.open(digest) as file:
        blobs.delete(digest)
        assert file.read() == b"data"
    assert not blobs.has(digest)
    assert blobs.put(b"data") == digest
    assert blobs.has(digest)
