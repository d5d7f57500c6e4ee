"""Statements about an image, as BuildKit lays them out."""

from __future__ import annotations

import json

import pytest

from lamina.digest import digest_of
from lamina.oci.attestation import (
    Provenance,
    attestation_config,
    attestation_entry,
    attestation_manifest,
    is_attestation,
    package,
    statement,
    statement_descriptor,
)
from lamina.oci.descriptor import Descriptor
from lamina.oci.manifest import Index, decode_manifest, encode_manifest, select_platform
from lamina.oci.mediatypes import OCI_CONFIG, OCI_MANIFEST
from lamina.oci.platform import Platform
from lamina.oci.reference import parse_reference

LINUX = Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("busybox", "pkg:docker/busybox@latest?platform=linux%2Famd64"),
        ("user/app:1.0", "pkg:docker/user/app@1.0?platform=linux%2Famd64"),
        ("reg.example:5000/app:1", "pkg:docker/reg.example%3A5000/app@1?platform=linux%2Famd64"),
        (f"busybox@{digest_of(b'')}", "pkg:docker/busybox?platform=linux%2Famd64"),
    ],
)
def test_package_urls(name: str, expected: str) -> None:
    assert package(parse_reference(name), LINUX) == expected


def test_the_layout() -> None:
    image = Descriptor(OCI_MANIFEST, digest_of(b"image"), 5, LINUX)
    raw = statement(image, Provenance(("pkg:docker/x@1",), {"some": "thing"}))
    said = statement_descriptor(raw)
    config = attestation_config([said])
    manifest = attestation_manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, digest_of(config), len(config)), [said])
    encoded = encode_manifest(manifest)
    entry = attestation_entry(Descriptor(OCI_MANIFEST, digest_of(encoded), len(encoded)), image)
    index = decode_manifest(encode_manifest(Index(2, (image, entry))))
    assert isinstance(index, Index)
    assert json.loads(raw) == {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [{"name": "pkg:docker/x@1", "digest": {"sha256": image.digest.removeprefix("sha256:")}}],
        "predicate": {"some": "thing"},
    }
    assert json.loads(config)["rootfs"] == {"type": "layers", "diff_ids": [said.digest]}
    assert (said.media_type, said.size) == ("application/vnd.in-toto+json", len(raw))
    assert said.annotations == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
    assert entry.annotations == {
        "vnd.docker.reference.digest": image.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    assert decode_manifest(encoded) == manifest
    assert [is_attestation(one) for one in index.manifests] == [False, True]
    assert select_platform(index, LINUX) == image
    assert select_platform(Index(2, (entry,)), LINUX) is None


def test_an_image_without_a_name() -> None:
    image = Descriptor(OCI_MANIFEST, digest_of(b"image"), 5, LINUX)
    assert json.loads(statement(image, Provenance((), {})))["subject"][0]["name"] == "_"
