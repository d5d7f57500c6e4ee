"""A shared cache in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure. Objects `entries/<name>` and
`blobs/<hex>` below a prefix.

The package obstore does the talking and finds credentials where each cloud's own tools do (environment, profile,
machine's role). It is only imported here.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, parse_digest
from lamina.oci.descriptor import Descriptor
from lamina.registry.cachestore import (
    CHUNK,
    MAX_DOCUMENT,
    REFRESHED,
    CacheStore,
    Held,
    HeldBlob,
    checked_name,
    failed,
    is_name,
    verified,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

T = TypeVar("T")
#: Bytes a part of an upload, and parts under way: what an upload takes of memory.
_PART, _PARTS = 8 << 20, 4
#: Addresses in messages may hold signatures behind the question mark.
_QUERY = re.compile(r"\?\S*")


def open_bucket(kind: str, attributes: Mapping[str, str], timeout: float) -> CacheStore:
    """The cache in a bucket. `kind` is `s3`, `gs` or `az`, `attributes` as in docs/shared-cache.md; `timeout`: seconds.

    Raises BuildFailure `usage-cache` where obstore is not installed or does not take the attributes.
    """
    try:
        from obstore import store as clouds
    except ImportError:
        raise BuildFailure(
            "usage-cache", f"a cache of type {kind} needs the package obstore", hint="pip install 'lamina[buckets]'"
        ) from None
    place, prefix = attributes.get("bucket") or attributes["container"], attributes.get("prefix", "").strip("/")
    endpoint = attributes.get("endpoint_url", "")

    def opened(seconds: float) -> ObjectStore:
        """`seconds` is for a whole request."""
        options: dict[str, Any] = {
            "prefix": prefix or None,
            "client_options": {
                "timeout": f"{int(seconds)}s",
                "connect_timeout": f"{int(timeout)}s",
                "allow_http": endpoint.startswith("http://"),
            },
            "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=timeout)},
        }
        if kind == "s3":
            names = ("region", "access_key_id", "secret_access_key", "session_token")
            options |= {name: attributes[name] for name in names if name in attributes}
            if attributes.get("use_path_style") == "false":
                options["virtual_hosted_style_request"] = True
            return clouds.S3Store(place, endpoint=endpoint or None, **options)
        if kind == "gs":
            options |= {"base_url": endpoint} if endpoint else {}
            return clouds.GCSStore(place, **options)
        options |= {"endpoint": endpoint} if endpoint else {}
        return clouds.AzureStore(place, account_name=attributes["account"], **options)

    try:
        # A document is a small thing, a large part's upload is not.
        quick, patient = opened(timeout), opened(30 * timeout)
    except Exception as error:  # obstore has no common class for what it does not take
        raise BuildFailure("usage-cache", f"the bucket {place} cannot be used", cause=_brief(error)) from None
    return BucketCache(patient, quick, f"{kind}://{place}" + (f"/{prefix}" if prefix else ""))


class BucketCache:
    """A `CacheStore` in a bucket."""

    collects = False

    def __init__(self, store: ObjectStore, quick: ObjectStore, title: str) -> None:
        self._store = store
        self._quick = quick
        self.title = title
        #: When documents that were read had been written.
        self._seen: dict[str, float] = {}

    def read(self, name: str) -> bytes | None:
        import obstore

        with self._explained("be read"):
            try:
                found = _apart(lambda: obstore.get(self._quick, f"entries/{checked_name(name)}"))
            except FileNotFoundError:
                return None
            self._seen[name] = found.meta["last_modified"].timestamp()
            return _apart(lambda: bytes(found.bytes())) if found.meta["size"] <= MAX_DOCUMENT else None

    def write(self, name: str, document: bytes, blobs: Sequence[Descriptor]) -> None:
        import obstore

        with self._explained("be written"):
            _apart(lambda: obstore.put(self._store, f"entries/{checked_name(name)}", document))

    def has(self, digest: Digest) -> bool:
        import obstore

        with self._explained("be read"):
            try:
                _apart(lambda: obstore.head(self._quick, _path(digest)))
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def fetch(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        import obstore

        with self._explained(f"give blob {blob.digest[:19]}"):
            found = _apart(lambda: obstore.get(self._store, _path(blob.digest)))
            chunks = found.stream(min_chunk_size=CHUNK)
            yield verified(blob, iter(lambda: _apart(lambda: bytes(next(chunks, b""))), b""), self.title)

    def send(self, blob: Descriptor, open_blob: Callable[[], BinaryIO], progress: Callable[[int], None]) -> bool:
        import obstore

        raised: list[BaseException] = []

        def chunks() -> Iterator[bytes]:
            done = 0
            try:
                for chunk in verified(blob, iter(lambda: stream.read(_PART), b""), self.title):
                    done += len(chunk)
                    yield chunk
                    progress(done)
            except BaseException as error:
                raised.append(error)  # on its way through the library it would lose its class
                raise

        try:
            with open_blob() as stream, self._explained("be written", raised):
                obstore.put(self._store, _path(blob.digest), chunks(), chunk_size=_PART, max_concurrency=_PARTS)
        except BuildFailure:
            # Azure forgets the parts of all writers of one blob when the first of them is done: that one has sent it.
            if raised or not self.has(blob.digest):
                raise
        return True

    def refresh(self, name: str, written: float) -> bool:
        if self._seen.get(name, written) > time.time() - REFRESHED:
            return False
        document = self.read(name)  # again, for another writer may have added to it
        if document is not None:
            self.write(name, document, ())
        return document is not None

    # --- clearing away -----------------------------------------------------------------------------------------------
    def clock(self) -> float:
        import obstore

        with self._explained("be written"):
            _apart(lambda: obstore.put(self._store, "drafts/clock", b""))
            found = _apart(lambda: obstore.head(self._store, "drafts/clock"))
        return found["last_modified"].timestamp()

    def names(self) -> Mapping[str, str]:
        listed = ((one["path"].rpartition("/")[2], one) for one in self._listed("entries"))
        return {name: _version(one) for name, one in listed if is_name(name)}

    def look(self, name: str) -> Held | None:
        import obstore

        with self._explained("be read"):
            try:
                found = _apart(lambda: obstore.get(self._quick, f"entries/{checked_name(name)}"))
            except FileNotFoundError:
                return None
            meta = found.meta
            data = _apart(lambda: bytes(found.bytes())) if meta["size"] <= MAX_DOCUMENT else None
        return Held(name, _version(meta), meta["last_modified"].timestamp(), meta["size"], data)

    def remove(self, documents: Sequence[Held]) -> None:
        self._delete([f"entries/{checked_name(held.name)}" for held in documents])

    def blobs(self) -> Mapping[Digest, HeldBlob]:
        listed = ((one["path"].rpartition("/")[2], one) for one in self._listed("blobs"))
        return {
            Digest(f"sha256:{name}"): HeldBlob(one["size"], one["last_modified"].timestamp())
            for name, one in listed
            if len(name) == 64
        }

    def remove_blobs(self, digests: Sequence[Digest], before: float) -> None:
        self._delete([_path(digest) for digest in digests])

    def _listed(self, folder: str) -> list[ObjectMeta]:
        import obstore

        with self._explained("be read"):
            stream = obstore.list(self._store, folder, chunk_size=1000)
            return _apart(lambda: [one for chunk in stream for one in chunk])

    def _delete(self, paths: list[str]) -> None:
        import obstore

        with self._explained("be cleared away"):
            try:
                _apart(lambda: obstore.delete(self._store, paths))
            except FileNotFoundError:  # of one of them, in some clouds: somebody else clears away, too
                for path in paths:
                    with suppress(FileNotFoundError):
                        _apart(partial(obstore.delete, self._store, path))

    @contextmanager
    def _explained(self, what: str, raised: Sequence[BaseException] = ()) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except BuildFailure:
            raise
        except (BaseError, OSError) as error:
            if raised:
                raise raised[0] from None
            raise failed(self.title, what, _brief(error)) from error


def _apart(call: Callable[[], T]) -> T:
    """What `call` gives, or raises. The library hears of no signal while it waits, so the main thread does not wait in
    it: the user's interrupt would come to nothing."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    made: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            made.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="bucket", daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return made[0]


def _version(meta: ObjectMeta) -> str:
    """The tag, which some clouds list without its quotes, and the second: the same bytes may have been written anew."""
    tag = (meta["e_tag"] or "").strip('"')
    return f"{tag} {int(meta['last_modified'].timestamp())} {meta['size']}"


def _path(digest: Digest) -> str:
    return f"blobs/{parse_digest(digest)[7:]}"


def _brief(error: Exception) -> str:
    """The first line, without what may be a secret."""
    line = str(error).strip().partition("\n")[0]
    return _QUERY.sub("", line)[:300]
