"""The pulling half of the distribution protocol: `ports.Registry` for real (distribution-spec, "Pull")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest, digest_of, parse_digest
from lamina.oci import mediatypes
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, Manifest, decode_manifest
from lamina.oci.reference import Reference
from lamina.registry import tags
from lamina.registry.download import Source, verified, wrong_digest
from lamina.registry.failures import TransportError, malformed, unanswered
from lamina.registry.session import Session, answered, failure, pull_scope
from lamina.registry.settings import Endpoint, endpoint, endpoints
from lamina.registry.transport import Answer

#: No manifest in use comes near this; distribution's own limit is 4 MiB.
MAX_MANIFEST = 8 << 20
#: The manifests that lamina reads, as an `Accept` header.
ACCEPT = ", ".join((mediatypes.OCI_INDEX, mediatypes.OCI_MANIFEST, mediatypes.DOCKER_INDEX, mediatypes.DOCKER_MANIFEST))
_KNOWN_TYPES = mediatypes.INDEXES | mediatypes.MANIFESTS
_SCHEMA_1 = re.compile(r"application/vnd\.docker\.distribution\.manifest\.v1\+(prettyjws|json)")
#: A mirror is a short cut: it is not worth the patience that the registry itself gets.
_MIRROR_ATTEMPTS = 2

T = TypeVar("T")


class RegistryClient:
    """Pulls manifests and blobs; everything it returns has been verified. Safe to use from several threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dead_mirrors: set[str] = set()

    def resolve(self, reference: Reference) -> Descriptor:
        """What a tag or digest points at now. Asks by HEAD, and by GET where HEAD does not say enough."""
        return self._anywhere(reference, lambda place: self._resolve_at(place, reference))

    def manifest(self, reference: Reference, digest: Digest | None = None) -> tuple[Manifest | Index, bytes]:
        """A manifest or index and its verified raw bytes: of `digest` if given, else of the reference."""
        raw, media_type = self._anywhere(reference, lambda place: self._fetch(place, reference, digest))
        try:
            found = decode_manifest(raw, media_type)
        except ValueError as error:
            what = _named(reference, digest)
            if _SCHEMA_1.match(media_type) or (b'"schemaVersion"' in raw and b'"fsLayers"' in raw):
                raise _too_old(reference.registry, what) from error
            raise malformed(reference.registry, what, str(error)) from error
        if isinstance(found, Manifest):
            blobs = (one.digest for one in (found.config, *found.layers))
            self._session.sightings.note(reference.registry, reference.repository, blobs)
        return found, raw

    @contextmanager
    def blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob's verified bytes in chunks of 256 KiB at most; the last is only given once all was found right."""
        try:
            parse_digest(descriptor.digest)
        except ValueError as error:
            raise malformed(reference.registry, reference.familiar(), str(error)) from error
        what = f"blob {descriptor.digest[:19]} of {_repository(reference)}"

        def open_at(offset: int) -> Answer:
            return self._anywhere(reference, lambda place: self._open(place, reference, descriptor, offset, what))

        source = Source(reference.registry, what, open_at, self._session.settings.attempts)
        answer = open_at(0)
        try:
            yield _spoken(reference.registry, what, verified(source, descriptor, answer))
        finally:
            # A reader that left early leaves unread bytes behind; after a whole body this changes nothing.
            answer.close()

    def _anywhere(self, reference: Reference, ask: Callable[[Endpoint], T]) -> T:
        """Ask the mirrors, then the registry. A mirror's failure is never the user's: the registry's answer counts."""
        for place in endpoints(self._session.settings, reference.registry):
            if not place.mirror or place.base in self._dead_mirrors:
                continue
            try:
                return ask(place)
            except BuildFailure as missed:
                if missed.diagnostic.reference in ("registry-unreachable", "registry-timeout"):
                    self._dead_mirrors.add(place.base)
        return ask(endpoint(self._session.settings, reference.registry))

    def _resolve_at(self, place: Endpoint, reference: Reference) -> Descriptor:
        answer = self._send(place, "HEAD", reference, _manifest_path(reference, None), reference.familiar(), ACCEPT)
        answer.discard()
        media_type = _media_type(answer)
        if answer.status == 200 and _SCHEMA_1.match(media_type):
            raise _too_old(place.host, reference.familiar())
        if answer.status == 200 and media_type in _KNOWN_TYPES and answer.length is not None:
            found = announced(answer)
            if found is not None:
                if reference.digest not in (None, found):
                    raise wrong_digest(place.host, reference.familiar(), str(reference.digest), found)
                return Descriptor(media_type, found, answer.length)
        raw, media_type = self._fetch(place, reference, None)
        if _SCHEMA_1.match(media_type):
            raise _too_old(place.host, reference.familiar())
        return Descriptor(media_type, digest_of(raw), len(raw))

    def _fetch(self, place: Endpoint, reference: Reference, digest: Digest | None) -> tuple[bytes, str]:
        """A manifest's raw bytes, checked against every digest that is known of it, and its media type."""
        what = _named(reference, digest)
        with answered(place, what):
            answer = self._send(place, "GET", reference, _manifest_path(reference, digest), what, ACCEPT)
            if answer.status == 404:
                raise self._not_found(place, reference, digest, failure(place, what, answer))
            if answer.status != 200:
                raise failure(place, what, answer)
            raw = answer.body(MAX_MANIFEST)
        if len(raw) > MAX_MANIFEST:
            cause = f"it is larger than {MAX_MANIFEST >> 20} MiB"
            raise BuildFailure(
                "registry-oversized", f"{place.host} sent no sensible manifest for {what}", cause=cause,
                hint=f"is {place.host} a registry, and {what} an image?",
            )  # fmt: skip
        found = digest_of(raw)
        expected = digest or reference.digest or announced(answer) or found
        if found != expected:
            raise wrong_digest(place.host, what, expected, found)
        return raw, _media_type(answer)

    def _open(self, place: Endpoint, reference: Reference, descriptor: Descriptor, offset: int, what: str) -> Answer:
        path = f"/{reference.repository}/blobs/{descriptor.digest}"
        answer = self._send(place, "GET", reference, path, what, "*/*", offset)
        if answer.status == 200 or (answer.status in (206, 416) and offset):
            return answer
        raise failure(place, what, answer)

    def _send(
        self, place: Endpoint, method: str, reference: Reference, path: str, what: str, accept: str, offset: int = 0
    ) -> Answer:
        headers = {"Accept": accept}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        scopes = (pull_scope(reference.repository),)
        attempts = _MIRROR_ATTEMPTS if place.mirror else None
        with answered(place, what):
            return self._session.send(place, method, path, what=what, scopes=scopes, headers=headers, attempts=attempts)

    def _not_found(
        self, place: Endpoint, reference: Reference, digest: Digest | None, missing: BuildFailure
    ) -> BuildFailure:
        """The same failure with a better hint, if the registry is willing to list its tags."""
        if digest or reference.digest or place.mirror:
            return missing
        near = tags.near(self._session, place, reference)
        if not near:
            return missing
        plain = missing.diagnostic
        hint = f"did you mean {' or '.join(f'{_repository(reference)}:{tag}' for tag in near)}?"
        return BuildFailure(plain.reference, plain.message, cause=plain.cause, hint=hint)


def _spoken(host: str, what: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except TransportError as error:
        raise unanswered(host, what, error) from error


def _manifest_path(reference: Reference, digest: Digest | None) -> str:
    return f"/{reference.repository}/manifests/{digest or reference.digest or reference.tag}"


def _named(reference: Reference, digest: Digest | None) -> str:
    """The object as the user wrote it, with the digest that was asked for inside of it."""
    return reference.familiar() if digest in (None, reference.digest) else f"{_repository(reference)}@{digest}"


def _repository(reference: Reference) -> str:
    return msgspec.structs.replace(reference, tag="", digest=None).familiar()


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def announced(answer: Answer) -> Digest | None:
    """The digest that the registry says a manifest has, None if it says none that lamina can check."""
    try:
        return parse_digest(answer.headers.get("Docker-Content-Digest", ""))
    except ValueError:
        return None


def _too_old(host: str, what: str) -> BuildFailure:
    return BuildFailure(
        "registry-old-manifest",
        f"{host} holds {what} as a manifest of schema 1 only, which lamina does not read",
        cause="schema 1 was given up by Docker and OCI: it is not content-addressed",
        hint="push the image again with a current tool, or use a newer tag",
    )
