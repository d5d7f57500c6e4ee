"""Removing manifests from a registry (distribution-spec, "Content Management")."""

from __future__ import annotations

from lamina.diagnostics import BuildFailure
from lamina.digest import Digest
from lamina.oci.reference import Reference
from lamina.registry.session import Session, answered, failure
from lamina.registry.settings import endpoint


def delete_manifest(session: Session, reference: Reference, digest: Digest) -> None:
    """Remove a manifest and all tags that point at it; that it is gone already is as good. Its blobs stay until the
    registry collects its garbage. Raises BuildFailure `registry-…`, of a registry that does not let anybody delete
    `registry-no-deletion`."""
    place = endpoint(session.settings, reference.registry)
    what = f"the deletion of a manifest in {reference.registry}/{reference.repository}"
    path = f"/{reference.repository}/manifests/{digest}"
    with answered(place, what):
        scopes = (f"repository:{reference.repository}:pull,delete",)
        answer = session.send(place, "DELETE", path, what=what, scopes=scopes)
        if answer.status in (200, 202, 404):
            answer.discard()
            return
        refused = failure(place, what, answer)
    cause = refused.diagnostic.cause
    if answer.status == 405 or "UNSUPPORTED" in (cause or ""):
        raise BuildFailure(
            "registry-no-deletion",
            f"{place.host} does not let manifests be deleted",
            cause=cause,
            hint="start the reference registry with REGISTRY_STORAGE_DELETE_ENABLED=true; elsewhere look for its "
            "settings of deletion, or use its own retention rules",
        )
    raise refused
