"""A shared cache in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure. Objects `entries/<name>` and
`blobs/<hex>` below a prefix.

The package obstore does the talking and finds credentials where each cloud's own tools do (environment, profile,
machine's role). It is only imported here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, parse_digest
from lamina.oci.descriptor import Descriptor
from lamina.registry.cachestore import CHUNK, MAX_DOCUMENT, CacheStore, checked_name, failed, verified

if TYPE_CHECKING:
    from obstore.store import ObjectStore

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
    options: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": {
            "timeout": f"{int(30 * timeout)}s",  # of a whole request, a large part's upload
            "connect_timeout": f"{int(timeout)}s",
            "allow_http": endpoint.startswith("http://"),
        },
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=timeout)},
    }
    try:
        store: ObjectStore
        if kind == "s3":
            names = ("region", "access_key_id", "secret_access_key", "session_token")
            options |= {name: attributes[name] for name in names if name in attributes}
            if attributes.get("use_path_style") == "false":
                options["virtual_hosted_style_request"] = True
            store = clouds.S3Store(place, endpoint=endpoint or None, **options)
        elif kind == "gs":
            store = clouds.GCSStore(place, **options)
        else:
            options |= {"endpoint": endpoint} if endpoint else {}
            store = clouds.AzureStore(place, account_name=attributes["account"], **options)
    except Exception as error:  # obstore has no common class for what it does not take
        raise BuildFailure("usage-cache", f"the bucket {place} cannot be used", cause=_brief(error)) from None
    return BucketCache(store, f"{kind}://{place}" + (f"/{prefix}" if prefix else ""))


class BucketCache:
    """A `CacheStore` in a bucket."""

    def __init__(self, store: ObjectStore, title: str) -> None:
        self._store = store
        self.title = title

    def read(self, name: str) -> bytes | None:
        import obstore

        with self._explained("be read"):
            try:
                found = obstore.get(self._store, f"entries/{checked_name(name)}")
            except FileNotFoundError:
                return None
            return bytes(found.bytes()) if found.meta["size"] <= MAX_DOCUMENT else None

    def write(self, name: str, document: bytes, blobs: Sequence[Descriptor]) -> None:
        import obstore

        with self._explained("be written"):
            obstore.put(self._store, f"entries/{checked_name(name)}", document)

    def has(self, digest: Digest) -> bool:
        import obstore

        with self._explained("be read"):
            try:
                obstore.head(self._store, _path(digest))
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def fetch(self, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        import obstore

        with self._explained(f"give blob {blob.digest[:19]}"):
            found = obstore.get(self._store, _path(blob.digest))
            yield verified(blob, map(bytes, found.stream(min_chunk_size=CHUNK)), self.title)

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

        with open_blob() as stream, self._explained("be written", raised):
            obstore.put(self._store, _path(blob.digest), chunks(), chunk_size=_PART, max_concurrency=_PARTS)
        return True

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


def _path(digest: Digest) -> str:
    return f"blobs/{parse_digest(digest)[7:]}"


def _brief(error: Exception) -> str:
    """The first line, without what may be a secret."""
    line = str(error).strip().partition("\n")[0]
    return _QUERY.sub("", line)[:300]
