"""Statements about an image, kept beside it in an index as BuildKit keeps them ("Image attestation storage").

An attestation manifest has the platform `unknown/unknown`, so that no client takes it for an image; its layers are
in-toto statements, and annotations of its descriptor say which image it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lamina.digest import digest_of
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Manifest
from lamina.oci.platform import Platform
from lamina.oci.reference import Reference

IN_TOTO = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
#: Of an attestation manifest, which is for no machine.
NOWHERE = Platform("unknown", "unknown")

_STATEMENT = "https://in-toto.io/Statement/v0.1"
_TYPE, _ABOUT = "vnd.docker.reference.type", "vnd.docker.reference.digest"


class Provenance(Struct, frozen=True):
    """How an image was built: the SLSA `predicate`, and the `subjects` that it is said of, as package URLs."""

    subjects: tuple[str, ...]
    predicate: dict[str, Any]


def package(reference: Reference, platform: Platform) -> str:
    """An image as a package URL: `pkg:docker/busybox@1.36?platform=linux%2Famd64`."""
    name = reference.familiar().removesuffix(f"@{reference.digest}").removesuffix(f":{reference.tag}")
    version = f"@{reference.tag}" if reference.tag else ""  # which has nothing in it to be encoded
    return f"pkg:docker/{_encoded(name)}{version}?platform={_encoded(str(platform)).replace('/', '%2F')}"


def _encoded(text: str) -> str:
    """With `%XX` for what stands for something in a package URL; names and platforms have no more of that."""
    return text.replace(":", "%3A").replace("[", "%5B").replace("]", "%5D")


def statement(image: Descriptor, said: Provenance) -> bytes:
    """An in-toto statement about the manifest `image`, under each of its names."""
    algorithm, _, value = image.digest.partition(":")
    subjects = [{"name": name, "digest": {algorithm: value}} for name in said.subjects or ("_",)]
    return msgspec.json.encode(
        {"_type": _STATEMENT, "predicateType": PROVENANCE, "subject": subjects, "predicate": said.predicate}
    )


def statement_descriptor(raw: bytes) -> Descriptor:
    """What points at a statement."""
    return Descriptor(IN_TOTO, digest_of(raw), len(raw), annotations={"in-toto.io/predicate-type": PROVENANCE})


def attestation_config(statements: Sequence[Descriptor]) -> bytes:
    """The configuration that the manifest must have, which says nothing."""
    diff_ids = [one.digest for one in statements]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return msgspec.json.encode({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs})


def attestation_manifest(kind: str, config: Descriptor, statements: Sequence[Descriptor]) -> Manifest:
    """`kind` is its media type."""
    return Manifest(2, kind, config, tuple(statements))


def attestation_entry(manifest: Descriptor, image: Descriptor) -> Descriptor:
    """The manifest as an index lists it, behind the image that it is about."""
    annotations = {_ABOUT: image.digest, _TYPE: "attestation-manifest"}
    return msgspec.structs.replace(manifest, platform=NOWHERE, annotations=annotations)


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index's entry is no image but a statement about one."""
    return entry.platform == NOWHERE
