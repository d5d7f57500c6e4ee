"""The pushing half of the distribution protocol (distribution-spec, "Push")."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of
from lamina.oci.descriptor import Descriptor
from lamina.oci.reference import Reference
from lamina.registry import tags
from lamina.registry.client import ACCEPT, MAX_MANIFEST, announced
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
        what, scopes = _blob_name(reference, digest), _push_scopes(reference)
        with answered(place, what):
            path = f"/{reference.repository}/blobs/{digest}"
            answer = self._session.send(place, "HEAD", path, what=what, scopes=scopes)
        if answer.status not in (200, 404):
            raise failure(place, what, answer)
        answer.discard()
        if answer.status == 200:
            self._session.sightings.note(reference.registry, reference.repository, (digest,))
        return answer.status == 200

    def tagged(self, reference: Reference) -> Digest | None:
        """The digest of the manifest or index that the reference's tag (or digest) names now, None if there is none or
        the registry does not say."""
        place = endpoint(self._session.settings, reference.registry)
        what, scopes = reference.familiar(), _push_scopes(reference)
        path = f"/{reference.repository}/manifests/{reference.tag or reference.digest}"
        with answered(place, what):
            answer = self._session.send(place, "HEAD", path, what=what, scopes=scopes, headers={"Accept": ACCEPT})
        if answer.status not in (200, 404):
            raise failure(place, what, answer)
        answer.discard()
        return announced(answer) if answer.status == 200 else None

    def push_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open_blob: Callable[[], BinaryIO],
        *,
        mount_from: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> bool:
        """Upload a blob, or have the registry take it over from its repository `mount_from`, by default one in which
        the blob was seen, if it can.

        `open_blob` gives a fresh seekable stream of its bytes, once an attempt; `progress` hears the bytes sent so far.
        The registry checks the digest. Returns whether bytes were sent. Raises BuildFailure `registry-…`.
        """
        place = endpoint(self._session.settings, reference.registry)
        what = _blob_name(reference, descriptor.digest)
        source = mount_from or self._elsewhere(reference, descriptor.digest)
        try:
            location = None
            if source is not None:
                mounted, location = self._mount(reference, descriptor, source)
                if mounted:
                    return False
            upload = BlobUpload(self._session, place, reference.repository, _push_scopes(reference), what)
            upload.run(descriptor, open_blob, progress or (lambda _: None), location)
        except TransportError as error:
            raise unanswered(place.host, what, error) from error
        self._session.sightings.note(reference.registry, reference.repository, (descriptor.digest,))
        return True

    def mount_blob(self, reference: Reference, descriptor: Descriptor) -> bool:
        """Have the registry take over a blob that was seen in another of its repositories; whether that worked. What
        it opened instead is left to it: registries clear away uploads that nobody goes on with."""
        source = self._elsewhere(reference, descriptor.digest)
        return source is not None and self._mount(reference, descriptor, source)[0]

    def _elsewhere(self, reference: Reference, digest: Digest) -> str | None:
        """A repository of the reference's registry, not its own, in which a blob was seen."""
        found = self._session.sightings.where(reference.registry, digest)
        return next((repository for repository in found if repository != reference.repository), None)

    def _mount(self, reference: Reference, descriptor: Descriptor, source: str) -> tuple[bool, str | None]:
        """Whether the blob is there now; if not, where to upload it, if the registry named a place. A short cut: that
        it is denied, as for a repository that the user may not read, is no failure."""
        place = endpoint(self._session.settings, reference.registry)
        what = _blob_name(reference, descriptor.digest)
        scopes = (*_push_scopes(reference), pull_scope(source))
        try:
            location = BlobUpload(self._session, place, reference.repository, scopes, what).mount(descriptor, source)
        except (BuildFailure, TransportError):
            return False, None
        if location is None:
            self._session.sightings.note(reference.registry, reference.repository, (descriptor.digest,))
        return location is None, location

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
    """What all requests of a push ask a token for, so that one does for all."""
    return (f"repository:{reference.repository}:pull,push",)


def _blob_name(reference: Reference, digest: Digest) -> str:
    return f"blob {digest[:19]} of {reference.registry}/{reference.repository}"
