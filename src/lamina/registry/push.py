"""The pushing half of the distribution protocol (distribution-spec, "Push")."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.oci.descriptor import Descriptor
from lamina.oci.reference import Reference
from lamina.registry import tags
from lamina.registry.client import MAX_MANIFEST
from lamina.registry.download import wrong_digest
from lamina.registry.failures import TransportError, unanswered
from lamina.registry.session import Session, answered, failure, pull_scope
from lamina.registry.settings import endpoint
from lamina.registry.upload import BlobUpload


class RegistryPusher:
    """Pushes blobs and manifests to the registry itself, never to a mirror. Safe to use from several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def has_blob(self, reference: Reference, digest: Digest) -> bool:
        """Whether the reference's repository already holds a blob."""
        place = endpoint(self._session.settings, reference.registry)
        what = _blob_name(reference, digest)
        scopes = (pull_scope(reference.repository),)
        with answered(place, what):
            path = f"/{reference.repository}/blobs/{digest}"
            answer = self._session.send(place, "HEAD", path, what=what, scopes=scopes)
        if answer.status in (200, 404):
            answer.discard()
            return answer.status == 200
        raise failure(place, what, answer)

    def push_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        *,
        mount_from: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """Upload a blob, or have the registry take it over from its repository `mount_from` if it can.

        `open_blob` gives a fresh seekable stream of its bytes, once an attempt; `progress` hears the bytes sent so far.
        The registry checks the digest. Returns whether bytes were sent. Raises BuildFailure `registry-…`.
        """
        place = endpoint(self._session.settings, reference.registry)
        what = _blob_name(reference, descriptor.digest)
        scopes = (*_push_scopes(reference), *([pull_scope(mount_from)] if mount_from else ()))
        upload = BlobUpload(self._session, place, reference.repository, scopes, what)
        try:
            return upload.run(descriptor, open_blob, progress or (lambda _: None), mount_from)
        except TransportError as error:
            raise unanswered(place.host, what, error) from error

    def push_manifest(self, reference: Reference, raw: bytes, media_type: str) -> Digest:
        """Store a manifest or index under the reference's tag, or under its digest if it has no tag."""
        place = endpoint(self._session.settings, reference.registry)
        what, digest = reference.familiar(), digest_of(raw)
        if len(raw) > MAX_MANIFEST:
            hint = "use fewer layers, annotations or platforms"
            raise BuildFailure("registry-oversized", f"the manifest of {what} is {len(raw)} bytes long", hint=hint)
        path = f"/{reference.repository}/manifests/{reference.tag or digest}"
        headers = {"Content-Type": media_type}
        with answered(place, what):
            answer = self._session.send(
                place, "PUT", path, what=what, scopes=_push_scopes(reference), headers=headers, body=raw
            )
            if answer.status not in (200, 201):
                raise failure(place, what, answer)
            answer.discard()
        stored = answer.headers.get("Docker-Content-Digest", digest)
        if stored.startswith("sha256:") and stored != digest:
            raise wrong_digest(place.host, what, digest, stored)
        return digest

    def tags(self, reference: Reference) -> tuple[str, ...]:
        """All tags of the reference's repository."""
        return tags.list_tags(self._session, reference)


def _push_scopes(reference: Reference) -> tuple[str, ...]:
    return (f"repository:{reference.repository}:pull,push",)


def _blob_name(reference: Reference, digest: Digest) -> str:
    return f"blob {digest[:19]} of {reference.registry}/{reference.repository}"
