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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

import msgspec
from msgspec.structs import replace

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of, parse_digest
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest, decode_manifest
from lamina.oci.mediatypes import OCI_MANIFEST
from lamina.oci.reference import Reference
from lamina.registry.cachestore import MAX_DOCUMENT, REFRESHED, Held, HeldBlob, checked_name, is_name
from lamina.registry.client import MAX_MANIFEST, RegistryClient
from lamina.registry.deletion import delete_manifest
from lamina.registry.push import RegistryPusher
from lamina.registry.session import Session, answered, failure, pull_scope
from lamina.registry.settings import endpoint
from lamina.registry.tags import list_tags

ARTIFACT = "application/vnd.lamina.step.v1"
DOCUMENT = "io.lamina.cache.document"
#: When a document was last marked as used: registries say of no manifest how old it is.
USED = "io.lamina.cache.used"
_ATTEMPTS = 3
_EMPTY = Descriptor("application/vnd.oci.empty.v1+json", digest_of(b"{}"), 2)


class RegistryCache:
    """A `CacheStore` in the repository of `reference`, whose tag does not count. `quick` is for documents, `patient`
    for blobs and for writing."""

    collects = True

    def __init__(self, reference: Reference, quick: Session, patient: Session) -> None:
        self.reference = replace(reference, tag="", digest=None)
        self.title = self.reference.familiar()
        self._quick = quick
        self._patient = patient
        self._client = RegistryClient(patient)
        self._pusher = RegistryPusher(patient)
        self._guard = threading.Lock()
        self._empty_is_there = False
        #: When documents that were read had been marked as used.
        self._seen: dict[str, float] = {}

    def read(self, name: str) -> bytes | None:
        raw = self._get(name)
        manifest = _artifact(raw) if raw is not None else None
        if manifest is None:
            return None
        document = _document(manifest)
        if document is not None:
            self._seen[name] = _used(manifest)
            digests = [layer.digest for layer in manifest.layers]
            self._quick.sightings.note(self.reference.registry, self.reference.repository, digests)
        return document

    def _get(self, name: str) -> bytes | None:
        """The manifest under a tag."""
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
            return answer.body(MAX_MANIFEST)

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
        self._put(name, msgspec.json.encode(manifest))

    def _put(self, name: str, raw: bytes) -> None:
        tagged = replace(self.reference, tag=checked_name(name))
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._pusher.push_manifest(tagged, raw, OCI_MANIFEST)
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

    def refresh(self, name: str, written: float) -> bool:
        now = time.time()
        if max(self._seen.get(name, 0.0), written) > now - REFRESHED:
            return False
        raw = self._get(name)  # again, for another writer may have added to it
        if raw is None or _artifact(raw) is None:
            return False
        manifest = msgspec.json.decode(raw)
        manifest["annotations"][USED] = str(int(now))
        self._put(name, msgspec.json.encode(manifest))
        return True

    # --- clearing away -----------------------------------------------------------------------------------------------
    def clock(self) -> float:
        """The registry's, for its own is compared with those of many writers."""
        place = endpoint(self._quick.settings, self.reference.registry)
        what, scopes = f"the shared cache {self.title}", (pull_scope(self.reference.repository),)
        with answered(place, what):
            answer = self._quick.send(place, "GET", "/", what=what, scopes=scopes)
            answer.discard()
        try:
            return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        except ValueError:
            return time.time()

    def names(self) -> Mapping[str, str]:
        try:
            found = list_tags(self._patient, self.reference)
        except BuildFailure as failure:
            if failure.diagnostic.reference != "registry-not-found":
                raise
            return {}  # nothing was ever written
        return dict.fromkeys(filter(is_name, found), "")

    def look(self, name: str) -> Held | None:
        raw = self._get(name)
        manifest = _artifact(raw) if raw is not None else None
        if raw is None or manifest is None:
            return None
        return Held(name, digest_of(raw), _used(manifest), len(raw), _document(manifest))

    def remove(self, documents: Sequence[Held]) -> None:
        for version in dict.fromkeys(held.version for held in documents):
            delete_manifest(self._patient, self.reference, parse_digest(version))

    def blobs(self) -> Mapping[Digest, HeldBlob]:
        return {}

    def remove_blobs(self, digests: Sequence[Digest], before: float) -> None:
        """Nothing: the registry collects them."""


def _artifact(raw: bytes) -> Manifest | None:
    """A manifest that holds a document, None for any other."""
    try:
        manifest = decode_manifest(raw, OCI_MANIFEST)
    except ValueError:
        return None
    return manifest if isinstance(manifest, Manifest) and DOCUMENT in manifest.annotations else None


def _document(manifest: Manifest) -> bytes | None:
    try:
        document = base64.b64decode(manifest.annotations[DOCUMENT], validate=True)
    except (ValueError, binascii.Error):
        return None
    return document if len(document) <= MAX_DOCUMENT else None


def _used(manifest: Manifest) -> float:
    text = manifest.annotations.get(USED, "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0.0
