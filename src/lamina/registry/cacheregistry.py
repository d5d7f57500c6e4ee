"""A shared cache in a repository of a registry: one tag a document.

Each document is an ordinary OCI artifact (image-spec, manifest.md, "Guidelines for Artifact Usage"): an empty
configuration, the blobs that the document names as layers, so that no garbage collection takes them, and the document
itself in an annotation, so that one GET tells all.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import msgspec
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of, parse_digest
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest, decode_manifest
from lamina.oci.mediatypes import OCI_MANIFEST
from lamina.oci.reference import Reference
from lamina.registry.cachestore import MAX_DOCUMENT, checked_name
from lamina.registry.client import MAX_MANIFEST, RegistryClient
from lamina.registry.push import RegistryPusher
from lamina.registry.session import Session, answered, failure, pull_scope
from lamina.registry.settings import endpoint

ARTIFACT = "application/vnd.lamina.step.v1"
DOCUMENT = "io.lamina.cache.document"
_ATTEMPTS = 3
_EMPTY = Descriptor("application/vnd.oci.empty.v1+json", digest_of(b"{}"), 2)


class RegistryCache:
    """A `CacheStore` in the repository of `reference`, whose tag does not count. `quick` is for documents, `patient`
    for blobs and for writing."""

    def __init__(self, reference: Reference, quick: Session, patient: Session) -> None:
        self.reference = replace(reference, tag="", digest=None)
        self.title = self.reference.familiar()
        self._quick = quick
        self._patient = patient
        self._client = RegistryClient(patient)
        self._pusher = RegistryPusher(patient)
        self._guard = threading.Lock()
        self._empty_is_there = False

    def read(self, name: str) -> bytes | None:
        place = endpoint(self._quick.settings, self.reference.registry)
        path = f"/{self.reference.repository}/manifests/{checked_name(name)}"
        what, scopes = f"the shared cache {self.title}", (pull_scope(self.reference.repository),)
        with answered(place, what):
            answer = self._quick.send(place, "GET", path, what=what, scopes=scopes, headers={"Accept": OCI_MANIFEST})
            if answer.status == 404:
                answer.discard()
                return None
            if answer.status != 200:
                raise failure(place, what, answer)
            raw = answer.body(MAX_MANIFEST)
        return self._document(raw)

    def _document(self, raw: bytes) -> bytes | None:
        try:
            manifest = decode_manifest(raw, OCI_MANIFEST)
            if not isinstance(manifest, Manifest):
                return None
            document = base64.b64decode(manifest.annotations[DOCUMENT], validate=True)
        except (ValueError, KeyError, binascii.Error):
            return None
        if len(document) > MAX_DOCUMENT:
            return None
        digests = [layer.digest for layer in manifest.layers]
        self._quick.sightings.note(self.reference.registry, self.reference.repository, digests)
        return document

    def write(self, name: str, document: bytes, blobs: Sequence[Descriptor]) -> None:
        with self._guard:
            if not self._empty_is_there:
                if not self._pusher.has_blob(self.reference, _EMPTY.digest):
                    self._pusher.push_blob(self.reference, _EMPTY, lambda: io.BytesIO(b"{}"))
                self._empty_is_there = True
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT,
            "config": _EMPTY,
            # An artifact without blobs has the empty one for a layer.
            "layers": tuple(blobs) or (_EMPTY,),
            "annotations": {DOCUMENT: base64.b64encode(document).decode()},
        }
        tagged = replace(self.reference, tag=checked_name(name))
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._pusher.push_manifest(tagged, msgspec.json.encode(manifest), OCI_MANIFEST)
                return
            except BuildFailure as failure:
                # While another writer puts the same blob, some registries do not see that it is there.
                unknown = "BLOB_UNKNOWN" in (failure.diagnostic.cause or "")
                if not unknown or attempt == _ATTEMPTS or not self._patient.pause(attempt):
                    raise

    def has(self, digest: Digest) -> bool:
        return self._pusher.has_blob(self.reference, parse_digest(digest))

    def fetch(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        return self._client.blob(self.reference, blob)

    def send(self, blob: Descriptor, open_blob: Callable[[], BinaryIO], progress: Callable[[int], None]) -> bool:
        return self._pusher.push_blob(self.reference, blob, open_blob, progress=progress)
